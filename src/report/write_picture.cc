#include "report/write_picture.h"

#include "base/file_transaction.h"
#include "report/pictures.h"
#include "report/png.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

Result<void> WriteBoth(const fs::path& png_path, const std::string& png, const fs::path& svg_path,
                       const std::string& svg) {
  std::error_code failed;
  fs::create_directories(png_path.parent_path(), failed);
  FileTransaction files;
  const auto done = AddFile(files, svg_path, svg)
                        .and_then([&] { return AddFile(files, png_path, png); })
                        .and_then([&] { return files.Commit(); });
  if (!done) fs::remove(svg_path, failed);
  return done;
}

/// One engine for each thread, which ends with it.
Result<Pictures*> EngineOfThread() {
  thread_local const auto engine = Pictures::Open();
  return engine.map([](const auto& pictures) { return pictures.get(); });
}

}  // namespace

Result<void> WritePicture(std::string_view chart, std::string_view data, const fs::path& png,
                          const fs::path& svg) {
  return EngineOfThread()
      .and_then([&](Pictures* engine) { return engine->Svg(chart, data); })
      .and_then([&](const std::string& drawn) {
        return PngOfSvg(drawn, kPngWidth, kPngHeight).and_then([&](const std::string& pixels) {
          return WriteBoth(png, pixels, svg, drawn);
        });
      });
}

}  // namespace moe
