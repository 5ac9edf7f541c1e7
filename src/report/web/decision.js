// What is chosen for the experts, as the reader's goal says: the card at the top and the section about
// schemes show the same.
import {chooseAsGood, chooseInSize, chooseUnder, gather, limitRange, uniform} from "./mix.js";
import {asShown} from "./format.js";
import {AS_STORED, wholeOf} from "./whole.js";

/** What the reader wants, as the state says it: an address of before has a limit and no goal. */
const goalOf = ({goal, size, limit, judge}) => {
  if (goal !== null) return goal;
  if (limit !== null || judge !== null) return "limit";
  return size === null ? "good" : "size";
};

const restOf = (wanted, {schemes, first}) =>
  wanted === AS_STORED || schemes.some(({name}) => name === wanted) ? wanted : first;

/**
 * null where no scheme has errors, so that there is nothing to choose; else {numbers, whole, reference,
 * base: the reference alone, range: of the limit, sizes: {low, high}: of the whole model, as shown, view(), chosen(),
 * listen(listener)}. A view is {goal, judge, limit, size, rest}.
 */
export const decisionOf = async ({run, place, state}) => {
  const numbers = await gather(run, place);
  const range = limitRange(numbers);
  if (!range) return {numbers, chosen: () => null};
  const whole = wholeOf(run, numbers);
  const reference = numbers.schemes[numbers.reference];
  const base = uniform(numbers, reference);
  const usable = numbers.schemes.filter(({index}) => numbers.uniform[index]);
  const alone = usable.map((scheme) => uniform(numbers, scheme).bytes);
  const asGood = chooseAsGood(numbers);

  const view = () => {
    const {size, limit, judge, rest: wanted} = state.get();
    const rest = restOf(wanted, whole);
    return {
      goal: goalOf(state.get()),
      judge: judge ?? "p90",
      limit: limit ?? range.start,
      size: size ?? asShown(whole.bytesOf(base.bytes, rest)),
      rest,
    };
  };
  const choose = ({goal, judge, limit, size, rest}) => {
    if (goal === "limit") return chooseUnder(numbers, judge, limit);
    // What is shown of a size is compared with the one that was typed: 20.94 MB fit in 20.9 MB.
    const fits = (experts) => asShown(whole.bytesOf(experts, rest)) <= size;
    return goal === "size" ? chooseInSize(numbers, fits) : asGood;
  };
  let made = null,
    madeFor = "";
  const chosen = () => {
    const now = JSON.stringify(view());
    if (now !== madeFor) [made, madeFor] = [choose(view()), now];
    return made;
  };
  return {
    numbers,
    whole,
    reference,
    base,
    range,
    sizes: () => ({
      low: asShown(whole.bytesOf(Math.min(...alone), view().rest)),
      high: asShown(whole.bytesOf(Math.max(...alone), view().rest)),
    }),
    view,
    chosen,
    listen: (listener) =>
      state.listen((changed) => {
        if (["goal", "size", "limit", "judge", "rest"].some((key) => changed.has(key))) listener();
      }),
  };
};
