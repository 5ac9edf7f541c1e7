#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/machine.h"
#include "base/platform.h"
#include "base/read_speed.h"
#include "base/text.h"
#include "base/utf8.h"
#include "base/version.h"
#include "cli/commands.h"
#include "mlx/mlx_backend.h"
#include "mlx/probe.h"
#include "moescope/measure.h"
#include "tables/arrow_version.h"

namespace moe::cli {
namespace {

constexpr uint64_t kMostRead = uint64_t{1} << 30;

struct Mlx {
  std::string version, device;
  std::vector<ProbeAnswer> probes;
};

struct Diagnosis {
  Machine machine;
  std::optional<Mlx> mlx;
  std::string mlx_missing;  // why there is none
  std::optional<ReadSpeed> disk;
};

Diagnosis Examine() {
  Diagnosis found{ThisMachine(), std::nullopt, "", std::nullopt};
  const auto mlx = MlxBackend::Open("gpu");  // else the device that there is
  if (mlx) {
    found.mlx = Mlx{mlx->version(), mlx->device(), ProbeMlx(*mlx)};
  } else {
    found.mlx_missing = mlx.error().Text();
  }
  return found;
}

std::string MemoryText(const Machine& machine) {
  const std::string all = HumanBytes(machine.memory_bytes);
  return machine.memory_limit_bytes ? HumanBytes(*machine.memory_limit_bytes) + " of " + all : all;
}

std::string SpeedText(const ReadSpeed& disk) {
  return HumanBytes(static_cast<uint64_t>(disk.BytesPerSecond())) + "/s";
}

std::string FileSystemName(const ReadSpeed& disk) {
  const auto system = FileSystemOf(disk.file);
  return system ? system->name : "unknown";
}

// All of it in a line, to be pasted in an issue: no path is in it.
std::string OneLine(const Diagnosis& found) {
  const Machine& machine = found.machine;
  std::vector<std::string> parts = {fmt::format("moescope {}", kVersion), machine.system};
  if (!machine.processor.empty()) parts.push_back(machine.processor);
  parts.push_back(fmt::format("{} cores", machine.cores));
  parts.push_back(MemoryText(machine));
  parts.push_back(SimdTargetName());
  parts.push_back("Arrow " + ArrowVersion());
  if (found.mlx) {
    std::string text = fmt::format("MLX {} {}", found.mlx->version, found.mlx->device);
    for (const ProbeAnswer& probe : found.mlx->probes) {
      text += fmt::format(" {}={}", probe.name, probe.answer);
    }
    parts.push_back(text);
  } else {
    parts.emplace_back("no MLX");
  }
  if (found.disk) parts.push_back(FileSystemName(*found.disk) + " " + SpeedText(*found.disk));
  return fmt::format("{}", fmt::join(parts, "; "));
}

Json MlxJson(const Mlx& mlx) {
  Json answers = Json::Object();
  for (const ProbeAnswer& probe : mlx.probes) answers[probe.name] = probe.answer;
  return {{"version", mlx.version}, {"device", mlx.device}, {"probes", std::move(answers)}};
}

Json DiskJson(const ReadSpeed& disk) {
  return {{"file", disk.file.string()},
          {"file_system", FileSystemName(disk)},
          {"bytes", disk.bytes},
          {"seconds", disk.seconds},
          {"bytes_per_second", disk.BytesPerSecond()}};
}

void PutJson(const Diagnosis& found, Json& out) {
  const Machine& machine = found.machine;
  out["version"] = kVersion;
  out["system"] = machine.system;
  out["processor"] = machine.processor.empty() ? Json() : Json(machine.processor);
  out["cores"] = machine.cores;
  out["memory_bytes"] = machine.memory_bytes;
  out["memory_limit_bytes"] =
      machine.memory_limit_bytes ? Json(*machine.memory_limit_bytes) : Json();
  out["simd_target"] = SimdTargetName();
  out["arrow"] = ArrowVersion();
  out["mlx"] = found.mlx ? MlxJson(*found.mlx) : Json();
  out["mlx_missing"] = found.mlx ? Json() : Json(found.mlx_missing);
  out["disk"] = found.disk ? DiskJson(*found.disk) : Json();
  out["line"] = OneLine(found);
}

void Print(const Diagnosis& found, Reporter& report) {
  const Machine& machine = found.machine;
  const auto line = [&](std::string_view name, const std::string& text) {
    report.Result(fmt::format("{:<12}{}", name, Escaped(text)));
  };
  line("moescope", std::string(kVersion));
  line("system", machine.system);
  line("processor", machine.processor.empty() ? "-" : machine.processor);
  line("cores", std::to_string(machine.cores));
  line("memory", MemoryText(machine));
  line("SIMD target", SimdTargetName());
  line("Arrow", ArrowVersion());
  if (found.mlx) {
    line("MLX", fmt::format("{} on the {}", found.mlx->version, found.mlx->device));
    for (const ProbeAnswer& probe : found.mlx->probes) {
      line("", fmt::format("{} ({}): {}", probe.name, probe.meaning, probe.answer));
    }
  } else {
    line("MLX", "none: " + found.mlx_missing);
  }
  if (found.disk) {
    line("disk", fmt::format("{}: {} of {} in {:.2f} s ({})", SpeedText(*found.disk),
                             HumanBytes(found.disk->bytes), found.disk->file.string(),
                             found.disk->seconds, FileSystemName(*found.disk)));
  }
  report.Result("\nFor an issue:\n" + Escaped(OneLine(found)));
}

ExitCode RunDoctor(const std::optional<std::string>& folder, Reporter& report) {
  Diagnosis found = Examine();
  std::optional<Error> failed;
  if (folder) {
    const auto disk = MeasureReading(ResolvePath(*folder), kMostRead);
    if (disk) {
      found.disk = *disk;
    } else {
      failed = disk.error();
    }
  }
  if (report.json()) {
    PutJson(found, report.object());
  } else {
    Print(found, report);
  }
  return failed ? FailWith(*failed, report) : ExitCode::kOk;
}

}  // namespace

void AddDoctor(const Command& program, ExitCode& exit, Reporter& report) {
  auto folder = std::make_shared<std::optional<std::string>>();
  const Command cmd =
      program.Add("doctor", "What this machine offers: processor, memory, disk, Arrow, MLX");
  cmd.Option("FOLDER", *folder, "Time the reading of the largest file in it, up to 1 GiB of it");
  cmd.Footer(
      "The probes of MLX are small matrices that its CPU and its GPUs quantize differently; the "
      "answer is\nthe profiles (mlx.profile) that do as this MLX does. The last line is for an "
      "issue.\n\nExamples:\n"
      "  moescope doctor\n"
      "  moescope doctor ~/models/Qwen3-30B-A3B");
  cmd.OnRun([folder, &exit, &report] { exit = RunDoctor(*folder, report); });
}

}  // namespace moe::cli
