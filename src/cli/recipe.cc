#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "base/pending_file.h"
#include "base/text.h"
#include "cli/commands.h"
#include "cli/flag_values.h"
#include "cli/pipeline.h"
#include "cli/run_argument.h"
#include "costs/run_recipe.h"
#include "model/inspect.h"
#include "recipe/mixed_rules.h"
#include "recipe/overview.h"
#include "recipe/plan.h"
#include "report/recipe_data.h"
#include "report/write_picture.h"
#include "run/commit_marker.h"
#include "run/schemes.h"

namespace moe::cli {
namespace {

struct RecipeOptions {
  RunArgument run;
  std::optional<std::string> bits, size, max_error, as_good_as, candidates, model, out, front;
  std::vector<std::string> pins, floors;
  std::string name = "recipe", keep = "router,norm", unit = "layer-proj", objective = "auto";
};

/// What choices are compared with.
const QuantScheme kReference = {"", "affine", 4, 64};

tl::unexpected<Error> BadFlag(const std::string& flag, const std::string& message,
                              const std::string& hint = "") {
  return Fail(ErrorCode::kBadArgument, flag, message, hint);
}

/// "18GiB", "18.5 GB", "123456": bytes.
Result<uint64_t> SizeOf(const std::string& text) {
  constexpr std::pair<std::string_view, double> kUnits[] = {
      {"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}, {"TB", 1e12},
      {"GB", 1e9},     {"MB", 1e6},     {"kB", 1e3},     {"KB", 1e3},     {"B", 1}};
  std::string_view number = Trimmed(text);
  double factor = 1;
  for (const auto& [unit, bytes] : kUnits) {
    if (!number.ends_with(unit)) continue;
    number = Trimmed(number.substr(0, number.size() - unit.size()));
    factor = bytes;
    break;
  }
  return NumberOf("--size", number).and_then([&](double count) -> Result<uint64_t> {
    const double bytes = count * factor;
    if (number.empty() || bytes > 0x1p60) {
      return BadFlag("--size", fmt::format("\"{}\" is no size", text), "as 18GiB or 19.3GB");
    }
    return static_cast<uint64_t>(bytes);
  });
}

/// A recipe says what is stored, not which encoder makes it.
Result<void> CheckNotSearched(const std::string& flag, const QuantScheme& scheme) {
  if (!scheme.search()) return {};
  return BadFlag(flag,
                 fmt::format("recipes are made from MLX's own encoder, without {}", scheme.name),
                 "'moescope quantize --recipe FILE --encoder search' searches what a recipe chose");
}

/// A scheme, or "bf16" (float): what stays a float.
Result<StoredForm> FormOf(const std::string& flag, const std::string& text) {
  for (const char* word : {"bf16", "fp16", "f32", "float"}) {
    if (text == word) return StoredForm();
  }
  const auto scheme = ParseScheme(text);
  if (!scheme)
    return BadFlag(flag, fmt::format("\"{}\" is no scheme", text), "as q4, q6g32, mxfp4, bf16");
  return CheckNotSearched(flag, *scheme).map([&] { return StoredForm(scheme); });
}

/// What stands before and after the last "=".
Result<std::pair<std::string, StoredForm>> Split(const std::string& flag, const std::string& text) {
  const size_t at = text.rfind('=');
  if (at == std::string::npos || at == 0) {
    return BadFlag(flag, fmt::format("\"{}\" has no NAME=SCHEME", text));
  }
  return FormOf(flag, text.substr(at + 1)).map([&](const StoredForm& form) {
    return std::pair(text.substr(0, at), form);
  });
}

/// Roles of a recipe's units, and "norm", which is never one's.
Result<void> CheckRole(const std::string& flag, const std::string& role) {
  static const std::vector<std::string> kRoles = {"router",    "norm",         "attention",
                                                  "embedding", "lm_head",      "shared_expert",
                                                  "dense",     "routed_expert"};
  if (std::ranges::count(kRoles, role) > 0) return {};
  const auto closest = ClosestName(role, kRoles);
  return BadFlag(flag,
                 fmt::format("\"{}\" is no role{}", role,
                             closest ? "; did you mean \"" + *closest + "\"?" : ""),
                 fmt::format("roles: {}", fmt::join(kRoles, ", ")));
}

/// Some unit of the role, if any has candidates, can have so many bits.
bool IsReached(const std::string& role, const StoredForm& floor, const Recipe& recipe) {
  bool has_candidates = false;
  for (const RecipeUnit& unit : recipe.units) {
    for (const RecipeOption& option : unit.alternatives) {
      if (unit.role != role || !option.cost) continue;
      has_candidates = true;
      if (!floor || option.scheme->bits >= floor->bits) return true;
    }
  }
  return !has_candidates;
}

/// The floor of a role that the user names goes before the usual one.
Result<void> AddFloor(const std::string& text, const Recipe& recipe, PlanRules& rules) {
  const auto floor = Split("--floor", text);
  if (!floor) return tl::make_unexpected(floor.error());
  const std::string& role = floor->first;
  if (auto known = CheckRole("--floor", role); !known) return known;
  if (std::ranges::count(rules.keep, role) > 0) {
    return BadFlag("--floor", fmt::format("{} stays as mlx-lm's own rule has it (--keep)", role),
                   "a --keep without it lets the budget choose");
  }
  if (!IsReached(role, floor->second, recipe)) {
    return BadFlag(
        "--floor",
        fmt::format("no candidate for {} has as many bits as {}", role, SchemeText(floor->second)),
        "bf16 keeps it a float; 'moescope analyze MODEL --schemes LIST' measures more");
  }
  std::erase_if(rules.floors, [&](const auto& usual) { return usual.role == role; });
  rules.floors.push_back({role, floor->second});
  return {};
}

Result<PlanRules> RulesOf(const RecipeOptions& options, const Recipe& recipe) {
  PlanRules rules;
  rules.unit = options.unit;
  for (const std::string_view role : SplitAtCommas(options.keep)) {
    if (!role.empty()) rules.keep.emplace_back(role);
  }
  for (const std::string& text : options.pins) {
    const auto pin = Split("--pin", text);
    if (!pin) return tl::make_unexpected(pin.error());
    rules.pins.push_back({pin->first, pin->second});
  }
  for (const std::string& role : rules.keep) {
    if (auto known = CheckRole("--keep", role); !known) return tl::make_unexpected(known.error());
  }
  rules.floors = UsualFloors();
  for (const std::string& text : options.floors) {
    if (auto done = AddFloor(text, recipe, rules); !done) return tl::make_unexpected(done.error());
  }
  return rules;
}

/// The recipe for the budget that is given.
Result<Recipe> Choose(const Plan& plan, const RecipeOptions& options) {
  const auto with_text = [](Result<Recipe> recipe, const std::string& text) {
    if (recipe) recipe->budget.value = text;
    return recipe;
  };
  if (options.bits) {
    const auto bits = NumberOf("--bits", *options.bits);
    if (!bits) return tl::make_unexpected(bits.error());
    return with_text(plan.AtBits(*bits), *options.bits);
  }
  if (options.size) {
    const auto bytes = SizeOf(*options.size);
    if (!bytes) return tl::make_unexpected(bytes.error());
    return with_text(plan.AtSize(*bytes), *options.size);
  }
  if (options.max_error) {
    const auto share = NumberOf("--max-error", *options.max_error);
    if (!share) return tl::make_unexpected(share.error());
    auto recipe = plan.AsGoodAs(kReference, *share);
    if (recipe) recipe->budget.kind = "max_error";
    return with_text(std::move(recipe), *options.max_error);
  }
  const auto form = FormOf("--as-good-as", *options.as_good_as);
  if (!form) return tl::make_unexpected(form.error());
  if (!*form) return BadFlag("--as-good-as", "takes a scheme, as q4");
  return with_text(plan.AsGoodAs(**form), *options.as_good_as);
}

// ---- what is told ----

/// "3 x q3, 5 x q4".
std::string PartsText(const RecipeGroup& group) {
  std::vector<std::string> texts;
  for (const RecipeGroup::Part& part : group.parts) {
    texts.push_back(fmt::format("{} x {}", part.units, FormLabel(part.scheme)));
  }
  return fmt::format("{}", fmt::join(texts, ", "));
}

void TellUnits(const Recipe& recipe, Reporter& report) {
  report.Answer(fmt::format("{:<14} {:<18} {:>10} {:>10} {:>6}  {}", "role", "projection", "16-bit",
                            "recipe", "bits", "units x scheme"));
  for (const RecipeGroup& group : GroupsOf(recipe)) {
    const double bits = 8 * static_cast<double>(group.bytes) / static_cast<double>(group.weights);
    report.Answer(fmt::format("{:<14} {:<18} {:>10} {:>10} {:>6.3f}  {}", group.role, group.proj,
                              HumanBytes(2 * group.weights), HumanBytes(group.bytes), bits,
                              PartsText(group)));
  }
}

/// "q4 for all (9.1 MB): a recipe of no more bytes has 0.47 of its objective".
void TellComparisons(const Plan& plan, const Recipe& recipe, Reporter& report) {
  if (const auto objective = RelativeObjective(recipe)) {
    report.Answer(
        fmt::format("objective: {:.3g} of that of {}", *objective, ReferenceName(recipe)));
  }
  for (const PlanComparison& comparison : ComparisonsOf(recipe, plan)) {
    report.Answer(fmt::format("{} ({}): a recipe of no more bytes has {:.3g} of its objective",
                              ComparisonName(comparison, recipe),
                              HumanBytes(comparison.other.bytes),
                              comparison.best / comparison.other.cost));
  }
}

/// What the user said of some modules, and what roles are held to.
void TellHeld(const Recipe& recipe, Reporter& report) {
  const auto tell = [&](const std::string& what, const std::vector<std::string>& list) {
    if (!list.empty()) report.Answer(fmt::format("{}: {}", what, fmt::join(list, ", ")));
  };
  std::vector<std::string> pins, floors;
  for (const auto& [pattern, scheme] : recipe.pins) {
    pins.push_back(fmt::format("{} to {}", pattern, FormLabel(scheme)));
  }
  for (const auto& [role, scheme] : recipe.floors) {
    if (std::ranges::count(recipe.units, role, &RecipeUnit::role) == 0) continue;
    floors.push_back(fmt::format("{} {}", role, FormLabel(scheme)));
  }
  tell("pinned", pins);
  tell("no fewer bits than", floors);
  std::vector<std::string> floats;
  for (const RecipeUnit& unit : recipe.units) {
    const auto wants_scheme = [&](const Recipe::Floor& floor) {
      return floor.role == unit.role && floor.scheme;
    };
    const bool by_floor = unit.chosen_by == "floor" && !unit.chosen.scheme;
    if (by_floor && std::ranges::any_of(recipe.floors, wants_scheme)) {
      floats.push_back(unit.modules.front().mlx);
    }
  }
  if (floats.empty()) return;
  report.Answer(fmt::format("floats, as no candidate has so many bits: {} units, as {}",
                            floats.size(), floats.front()));
}

void TellExtremes(const Recipe& recipe, Reporter& report) {
  report.Answer(fmt::format("furthest from the mean of {:.3f} bits:", MeanBits(recipe)));
  for (const RecipeUnit* unit : FurthestUnits(recipe, 10)) {
    report.Answer(fmt::format(
        "  {:<8} {}{} ({})", FormLabel(unit->chosen.scheme), unit->modules.front().mlx,
        unit->modules.size() > 1 ? fmt::format(" and {} more", unit->modules.size() - 1) : "",
        unit->chosen_by));
  }
}

/// Objectives relative to the reference; none without one.
Result<void> WriteFront(const Recipe& recipe, const Plan& plan, const std::filesystem::path& path) {
  constexpr uint64_t kPoints = 200;
  std::string text = "bytes,bits,objective\n";
  const double reference = recipe.objective.reference_value.value_or(0);
  for (const Plan::Point& point : plan.Front(kPoints)) {
    text += fmt::format("{},{},{}\n", point.bytes, point.bits,
                        reference > 0 ? fmt::format("{}", point.cost / reference) : "");
  }
  return WriteFileAtomically(path, text);
}

/// The front as a picture beside its CSV, if this program has pictures.
Result<void> DrawFront(const Recipe& recipe, const std::filesystem::path& csv, Reporter& report) {
  const Json chart = FrontChart(recipe, "this recipe");
  if (chart.is_null()) return {};
  auto path = csv;
  const auto png = path.replace_extension(".png"), svg = path.replace_extension(".svg");
  const auto drawn = WritePicture("front", chart.Text(), png, svg);
  if (drawn || drawn.error().code != ErrorCode::kUnsupported) return drawn;
  report.Note("no picture of the front: " + drawn.error().Text());
  return {};
}

/// Where pictures go beside it.
Result<void> CheckFront(const std::optional<std::string>& front,
                        const std::optional<std::string>& out) {
  if (front && out && ResolvePath(*front) == ResolvePath(*out)) {
    return BadFlag("--front", "is the file of the recipe, too");
  }
  const std::string extension = front ? std::filesystem::path(*front).extension().string() : "";
  if (extension != ".png" && extension != ".svg") return {};
  return BadFlag("--front", "is a CSV file; its pictures are drawn beside it", "as front.csv");
}

Result<std::filesystem::path> OutPath(const RecipeOptions& options, const Run& run) {
  if (options.out) return ResolvePath(*options.out);
  if (options.name.empty() || options.name.find('/') != std::string::npos) {
    return BadFlag("--name", "must be a file's name without a folder");
  }
  const std::filesystem::path folder = run.dir() / "recipes";
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return Fail(ErrorCode::kIo, folder.string(), failed.message(), "");
  return folder / (options.name + ".json");
}

Result<Model> ModelOf(Run& run, const RecipeOptions& options) {
  if (options.model) return OpenForInspection(*options.model);
  const std::string path = run.Log("run_health.json")["run"]["model_path"].text();
  return OpenForInspection(path.empty() ? run.UsedConfig().model_path : path);
}

Result<std::filesystem::path> MakeRecipe(Run& run, const RecipeOptions& options, Reporter& report) {
  constexpr std::string_view kWriters[] = {kCollectData};
  if (auto there = run.Check(kWriters); !there) return tl::make_unexpected(there.error());
  if (auto good = CheckFront(options.front, options.out); !good)
    return tl::make_unexpected(good.error());
  CostOptions costs;
  if (options.objective == "weight") costs.kind = CostKind::kWeight;
  if (options.objective == "activation") costs.kind = CostKind::kActivation;
  if (options.candidates) {
    auto schemes = ParseSchemes(*options.candidates);
    if (!schemes) return tl::make_unexpected(schemes.error());
    for (const QuantScheme& scheme : schemes->schemes) {
      if (auto good = CheckNotSearched("--candidates", scheme); !good)
        return tl::make_unexpected(good.error());
    }
    costs.candidates = std::move(schemes->schemes);
  }
  const auto model = ModelOf(run, options);
  if (!model) return tl::make_unexpected(model.error());
  const auto start = RecipeOfRun(run, *model, costs);
  if (!start) return tl::make_unexpected(start.error());
  const auto plan = RulesOf(options, *start).and_then([&](const PlanRules& rules) {
    return Plan::Create(*start, rules);
  });
  if (!plan) return tl::make_unexpected(plan.error());
  auto recipe = Choose(*plan, options);
  if (!recipe) return tl::make_unexpected(recipe.error());
  if (const auto uniform = PlanOf(kReference, *recipe)) {
    recipe->objective.reference = kReference;
    recipe->objective.reference_value = uniform->cost;
  }

  const auto path = OutPath(options, run);
  if (!path) return tl::make_unexpected(path.error());
  Result<void> written;
  if (options.front) {
    const std::filesystem::path front = ResolvePath(*options.front);
    written = WriteFront(*recipe, *plan, front).and_then([&] {
      return DrawFront(*recipe, front, report);
    });
  }
  if (written) written = WriteFileAtomically(*path, RecipeJson(*recipe));
  if (!written) return tl::make_unexpected(written.error());
  report.Answer(
      fmt::format("{:.4f} bits a quantized weight, {} in all ({} bytes and the headers of "
                  "files; the checkpoint has {})",
                  MeanBits(*recipe), HumanBytes(recipe->bytes()), recipe->bytes(),
                  HumanBytes(recipe->coverage.source_bytes)));
  TellUnits(*recipe, report);
  TellComparisons(*plan, *recipe, report);
  TellHeld(*recipe, report);
  TellExtremes(*recipe, report);
  for (const std::string& line : recipe->not_known) report.Note("not known: " + line);
  report.object()["recipe"] = path->string();
  report.object()["bytes"] = recipe->bytes();
  report.object()["bits"] = MeanBits(*recipe);
  report.object()["objective"] = OrNull(RelativeObjective(*recipe));
  return path;
}

}  // namespace

void AddRecipe(const Command& program, ExitCode& exit, Reporter& report) {
  auto opt = std::make_shared<RecipeOptions>();
  const Command cmd =
      program.Add("recipe", "Choose a scheme for each layer and projection under a budget");
  AddRunArgument(cmd, opt->run, "Run directory that analyze wrote");
  const std::pair<const char*, std::pair<std::optional<std::string>*, const char*>> budgets[] = {
      {"--bits", {&opt->bits, "Average bits of all quantized weights, scales included: 4.25"}},
      {"--size", {&opt->size, "Bytes of the whole checkpoint: 18GiB, 19.3GB"}},
      {"--max-error",
       {&opt->max_error, "The fewest bytes for so many times the objective of q4 for all: 0.5"}},
      {"--as-good-as",
       {&opt->as_good_as, "The fewest bytes for the objective of this scheme: q4"}}};
  for (const auto& [name, what] : budgets) cmd.Option(name, *what.first, what.second);
  cmd.Option("--candidates", opt->candidates,
             "Schemes to choose from (default: all measured but for +search)");
  cmd.Option("--pin", opt->pins,
             "'REGEX=SCHEME' for modules whose name it is found in; bf16: not quantized");
  cmd.Option("--floor", opt->floors,
             "ROLE=SCHEME: no fewer bits; attention, embedding, lm_head, shared_expert and dense "
             "have q6 unless this says otherwise");
  cmd.Option("--keep", opt->keep, "Roles that stay as mlx-lm's own rule has them").ShowDefault();
  cmd.Option("--unit", opt->unit, "What gets one scheme")
      .OneOf({"layer-proj", "layer", "proj", "model"})
      .ShowDefault();
  cmd.Option("--objective", opt->objective, "What errors cost (docs/recipes.md)")
      .OneOf({"auto", "weight", "activation"})
      .ShowDefault();
  cmd.Option("--model", opt->model, "The checkpoint, if it is elsewhere than the run says");
  cmd.Option("--name", opt->name, "Writes recipes/NAME.json of the run").ShowDefault();
  cmd.Option("-o,--out", opt->out, "Writes this file instead");
  cmd.Option(
      "--front", opt->front,
      "Also writes the best choices of all sizes to this CSV file, with a PNG and SVG beside it");
  cmd.Footer(
      R"(Examples:
  moescope recipe runs/qwen --bits 4.25
  moescope recipe runs/qwen --size 18GiB --pin 'lm_head=q8' -o recipe.json
  moescope export recipe.json --to mlx-lm -o convert.py)");
  cmd.OnRun([opt, &exit, &report] {
    const int given = opt->bits.has_value() + opt->size.has_value() + opt->max_error.has_value() +
                      opt->as_good_as.has_value();
    if (given != 1) {
      report.Error({ErrorCode::kBadArgument, "recipe",
                    "wants one of --bits, --size, --max-error and --as-good-as", "as --bits 4.25",
                    ""});
      exit = ExitCode::kUsage;
      return;
    }
    exit = WithRun(opt->run, report, [&](Run& run) {
      const auto path = MakeRecipe(run, *opt, report);
      if (!path) return RefuseWith(path.error(), report);
      report.Answer("wrote " + path->string());
      const bool is_shown = !opt->out && std::filesystem::exists(run.dir() / "report.html");
      return is_shown ? RunReport(run, true, report) : ExitCode::kOk;
    });
  });
}

}  // namespace moe::cli
