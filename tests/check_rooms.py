#!/usr/bin/env python3
"""The rooms of src/: what each holds, which public headers are its own, and what it may know.

Without arguments: every #include points only towards what its room may know, and docs/architecture.md
shows this table; no two headers define a type of one name. `--write` writes the table into docs/architecture.md.
"""
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOC = ROOT / "docs/architecture.md"


@dataclass
class Room:
    """A folder of src/. It may include headers of its own, of `knows`, and public ones of `calls`."""
    name: str
    holds: str
    never: str
    public: tuple = ()  # its headers in include/moescope/
    knows: dict = field(default_factory=dict)  # a room above it -> why, or ""
    calls: dict = field(default_factory=dict)  # the same, but its public headers alone


# A room knows only rooms above it. A new room is a row here, and `check_rooms.py --write`.
ROOMS = [
    Room("base",
         "errors, dtypes, matrices as something that is read in tiles, half and bfloat16 conversion, where the bytes of a file come "
         "from (`byte_source`, `mapped_file`), "
         "what operating systems do in ways of their own (`platform.h`, a file for each), the page cache, work in order on threads, files that take their names together, text helpers, JSON (`json`), regular expressions",
         "anything about models",
         public=("dtype.h", "error.h", "matrix.h", "stop_token.h")),
    Room("checkpoint",
         "one reader per container (safetensors, npz, npy, GGUF; `containers.cc` lists them), the shard index, what lies in a folder and which of it is "
         "the model (`walk`, `part_names`, `one_model`, `adapter`); all give the same `TensorInfo` list and bytes",
         "what a tensor means",
         public=("checkpoint.h", "scan_options.h"),
         knows={"base": ""}),
    Room("codec",
         "which tensors make a weight and how their bytes become tiles of float: one file a storage scheme (`codecs.h` lists "
         "them), most of them a description of scaled codes (`scaled_codes.h`); what their tensors are called "
         "(`companions.h`), what config.json says of a module (`config_words.h`) and whether tensors agree (`statements.h`)",
         "names of experts",
         public=("matrix_view.h", "weight.h"),
         knows={"base": "", "checkpoint": ""}),
    Room("experts",
         "which tensors are expert matrices, and a role for every tensor: the table of families (`families.cc`) and the rules "
         "made of it (`presets`); `filter`, `rules`, `packed_split`, `fallback` and `claims` are the steps of an extraction, `axes` "
         "asks the shapes of neighbours; what a config promises (`model_facts`, `layer_facts`), and which shapes contradict it or "
         "each other (`shape_judge`); what mlx-lm makes of the tensors (`mlx_families`, `mlx_names`)",
         "bytes, statistics",
         public=("experts.h", "model_facts.h"),
         knows={"base": "", "codec": "what companions are called"},
         calls={"checkpoint": "`TensorInfo`"}),
    Room("measure",
         "the numeric heart, pure functions on tiles: weight statistics (values of 16-bit types are counted), exact "
         "percentiles, quantizers, error metrics; SIMD with run-time dispatch",
         "files, config, logging",
         public=("measure.h", "quantize.h"),
         knows={"base": ""}),
    Room("model",
         "what is in a checkpoint: where it lies (`location`), which files (`model_files`), its config.json (`metadata`), every "
         "tensor with its role (`open_checkpoint`, `decide`), which experts are missing (`expert_promise`): a `Model`, whose "
         "matrices are opened by their keys; what to tell of it (`inspect`); all of it as mlx-lm has it (`mlx_plan`)",
         "tables, runs, logs",
         public=("model.h",),
         knows=dict.fromkeys(["base", "checkpoint", "codec", "experts"], "")),
    Room("evidence",
         "what calibration says of the weights' inputs: importance matrices (`imatrix_file`) and counts of tokens by expert "
         "(`usage_file`) read, added up, and mapped from llama.cpp's names to the model's (`model_inputs`; the table of names "
         "outside the experts is `module_inputs`); what hidden values are without it (`hidden_values`)",
         "weights",
         knows={"base": "", "checkpoint": "GGUF", "codec": "what weights are called", "experts": "which names are experts'",
                "model": ""}),
    Room("recipe",
         "a scheme for each unit of a model: the exact choice of the best one (`knapsack`) within what a user asks for (`plan`), mlx-lm's own mixtures to compare it with (`mixed_rules`), and all that led to it as a value "
         "and as a file (`recipe`), and in the forms of converters, a file each (`exporters` lists them)",
         "where a cost comes from",
         knows={"base": "", "measure": "the bits of a mode"}),
    Room("quantize",
         "a model as the MLX checkpoint that mlx_lm.convert would make of it: every tensor that it will have, from a recipe or one "
         "scheme (`output_plan`), written piece by piece on threads (`write_weights`) with what stands beside weights (`mlx_folder`, "
         "`model_card`), and gone on with after a run that ended early (`quantize`)",
         "which scheme is best",
         knows=dict.fromkeys(["base", "checkpoint", "experts", "measure", "model", "recipe"], "")),
    Room("mlx",
         "the backend that asks the real MLX instead; the plugin `moescope_mlx.so` that it opens at run time, which alone "
         "links MLX; what tells its kernels apart (`probe`)",
         "MLX in the program itself",
         knows={"base": "", "measure": ""}),
    Room("rows",
         "the row types, declared once (name, type, unit, doc), and the `RowSink` they go to",
         "Arrow",
         knows={"base": ""},
         calls={"measure": "the numbers of a row"}),
    Room("pairs",
         "two checkpoints of one model side by side: what a weight is to its model, whatever its name (`weight_key`), which weights of "
         "two belong together (`model_pairs`), their tiles read side by side on threads (`pair_work`), and how far they are apart "
         "(`compare_matrix`, `compare_models`; `pair_rows` is the table)",
         "what a difference means",
         knows={"base": "", "codec": "what weights are called", "evidence": "llama.cpp's names", "model": "", "measure": "tiles and lanes", "rows": ""}),
    Room("verify",
         "whether a quantized checkpoint holds what it should of its original: codes and scales made again and compared "
         "(`stored_codes`), else the error that is to be expected (`expectation`), weight by weight (`check_pair`), and what is wrong "
         "with those that are not right (`findings`), by sketches of all weights (`sketch`)",
         "how it is told",
         knows={"base": "", "codec": "weights", "experts": "what mlx-lm drops", "measure": "MLX's encoders", "model": "", "pairs": "", "rows": ""}),
    Room("run",
         "the run directory: config (schema, defaults, validation), manifest, logs",
         "numbers",
         knows={"base": "", "checkpoint": "how to scan", "measure": "what to measure; the modes' names and bounds", "rows": ""},
         calls={"experts": "how to find experts"}),
    Room("tables",
         "a `RowSink` that writes Parquet or CSV (the only room that sees Arrow), reading back, queries, summaries and deltas",
         "kernels",
         knows={"base": "", "rows": "", "run": ""}),
    Room("insight",
         "what the rows of a run mean, however it is shown: its matrices read back, what a scheme makes of them all, which "
         "scheme is best for each layer and projection, and what is odd about them",
         "how a page or a terminal shows it",
         knows={"base": "", "measure": "the bits of a mode", "recipe": "its exact solver", "rows": "", "run": "", "tables": ""}),
    Room("costs",
         "what quantizing each unit of a run's model costs (`run_recipe`): a run's errors (`run_errors`) weighed with what the "
         "experts add to the residual stream (`energies`, `matrix_costs`), under the names that mlx-lm gives its modules "
         "(`mlx_units`)",
         "which choice is the best",
         knows=dict.fromkeys(["base", "experts", "evidence", "model", "recipe", "run", "tables", "insight"], ""),
         calls={"measure": "`QuantScheme`"}),
    Room("report",
         "a run as a page for the browser (report.html) and as pictures, two checkpoints as the page of `verify` or `compare` (`pair_page`): the charts, in JavaScript (`web/`) that is bundled at "
         "build time; pictures are drawn by the same charts in an embedded engine",
         "anything that is not in the tables, logs or recipes",
         knows={"base": "", "recipe": "to show recipes", "rows": "", "run": "", "tables": "", "insight": "", "pairs": "", "verify": ""}),
    Room("collect",
         "the pipeline (`collect`): a model's tensors counted (`tensor_counts`) and its matrices measured (`matrix_work`) by a "
         "`quant_backend`, with reading ahead, threads and progress; what is known of the inputs beside (`evidence_work`, `input_norms`); what there is to tell (`narrator`, `collect_logs`)",
         "what a table file looks like",
         knows=dict.fromkeys(["base", "checkpoint", "codec", "experts", "measure", "model", "evidence", "mlx", "rows", "run", "tables"], "")),
    Room("cli",
         "one file per subcommand: arguments in, exit code out; `command.h` declares them for the library that parses; the "
         "only room that prints",
         "logic",
         knows=dict.fromkeys(["base", "checkpoint", "model", "recipe", "quantize", "mlx", "rows", "run", "tables", "insight", "costs", "report", "collect", "pairs", "verify"], ""),
         calls={"measure": "the name of the instruction set"}),
]

# A library's headers -> the only room that may see them.
ONLY_IN = {"arrow": "tables", "parquet": "tables", "mlx": "mlx", "CLI": "cli", "duktape.h": "report",
           "librsvg": "report", "cairo.h": "report", "glib.h": "report"}

UMBRELLA = "moescope/moescope.h"  # of no room
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
BY_NAME = {room.name: room for room in ROOMS}
OWNER = {f"moescope/{header}": room.name for room in ROOMS for header in room.public}


def faults_of_rooms():
    """The rows themselves: no circles, and one owner for each public header that is there."""
    for i, room in enumerate(ROOMS):
        above = {other.name for other in ROOMS[:i]}
        for name in [*room.knows, *room.calls]:
            if name not in above:
                yield f"ROOMS: {room.name} knows {name}, which is not above it"
    headers = {f"moescope/{path.name}" for path in (ROOT / "include/moescope").glob("*.h")} - {UMBRELLA}
    if {header for _, header in INCLUDE.findall((ROOT / "include" / UMBRELLA).read_text())} != headers:
        yield f"{UMBRELLA} does not include all other public headers"
    for header in sorted(headers ^ OWNER.keys()):
        yield f"ROOMS: {header} is {'of no room' if header in headers else 'not in include/'}"


def faults_of_file(path, room):
    """Includes of one file of `room`. A public header sees public ones alone."""
    public = path.is_relative_to(ROOT / "include")
    for quote, header in INCLUDE.findall(path.read_text()):
        first = header.split("/")[0]
        if quote == "<":
            if ONLY_IN.get(first, room.name) != room.name:
                yield f"{path}: only {ONLY_IN[first]} may include <{header}>"
        elif header.startswith("moescope/"):
            owner = OWNER.get(header)
            if owner not in {room.name, *room.knows, *room.calls}:
                yield f'{path}: {room.name} may not know "{header}", which is of {owner}'
        elif public:
            yield f'{path}: a public header may not include "{header}"'
        elif first not in {room.name, *room.knows}:
            yield f'{path}: {room.name} may not know "{header}"'


def faults_of_includes():
    for path in sorted((ROOT / "src").glob("*/**/*")):
        if path.suffix in {".h", ".cc"}:
            name = path.relative_to(ROOT / "src").parts[0]
            if name in BY_NAME:
                yield from faults_of_file(path, BY_NAME[name])
            else:
                yield f"{path}: room '{name}' is not in ROOMS"
    for header, name in sorted(OWNER.items()):
        path = ROOT / "include" / header
        if path.exists():
            yield from faults_of_file(path, BY_NAME[name])


def faults_of_names():
    """A type that two headers define breaks the rule of one definition, and no linker tells."""
    defined = {}
    for path in sorted([*(ROOT / "src").glob("*/*.h"), *(ROOT / "include").glob("*/*.h")]):
        text = path.read_text()
        space = "".join(re.findall(r"^namespace ([\w:]+) \{", text, re.M))
        for name in re.findall(r"^(?:struct|class|enum class) (\w+)\b(?!::)[^;{]*\{", text, re.M):
            other = defined.setdefault(f"{space}::{name}", path)
            if other != path:
                yield f"{path}: {space}::{name} is the name of a type in {other}, too"


def table():
    """The rooms as Markdown."""
    def with_reason(name, why, what="{}"):
        return what.format(name) + (f" ({why})" if why else "")

    lines = ["| folder | holds | public headers | knows | never |", "| --- | --- | --- | --- | --- |"]
    for room in ROOMS:
        knows = [with_reason(name, why) for name, why in room.knows.items()]
        knows += [with_reason(name, why, "the public headers of {}") for name, why in room.calls.items()]
        headers = ", ".join(f"`{header}`" for header in room.public)
        lines.append(f"| `src/{room.name}/` | {room.holds} | {headers} | {', '.join(knows) or 'the standard library'} "
                     f"| {room.never} |")
    return "\n".join(lines) + "\n"


def with_table(text):
    """`text` of docs/architecture.md with the table between its two marks."""
    begin, end = "<!-- rooms: tests/check_rooms.py --write -->\n", "<!-- end of rooms -->\n"
    head, rest = text.split(begin)
    return head + begin + table() + end + rest.split(end)[1]


def main():
    if sys.argv[1:] == ["--write"]:
        DOC.write_text(with_table(DOC.read_text()))
    found = [*faults_of_rooms(), *faults_of_includes(), *faults_of_names()]
    if DOC.read_text() != with_table(DOC.read_text()):
        found.append(f"{DOC}: its table of rooms is not ROOMS; tests/check_rooms.py --write writes it")
    print("\n".join(found) if found else "includes point only where they may, and the table of rooms is true")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
