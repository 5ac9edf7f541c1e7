#include "report/pictures.h"

#include <duktape.h>

#include <cstdlib>
#include <limits>

#include "report/base64.h"
#include "report/png.h"
#include "report/web_assets.h"

namespace moe {
namespace {

/// What the engine asks of us.
struct Host {
  size_t memory_left;
  std::string image;  ///< that the script gets next
};

/// In front of each block of the engine's memory stands its size.
struct alignas(std::max_align_t) BlockHead {
  size_t size;
};

/// Resizes, makes (nullptr) or frees (0) a block; nullptr when that is too much: the script then
/// gets an error.
void* Resize(void* self, void* block, duk_size_t size) {
  auto& host = *static_cast<Host*>(self);
  BlockHead* const old = block == nullptr ? nullptr : static_cast<BlockHead*>(block) - 1;
  const size_t available = host.memory_left + (old == nullptr ? 0 : old->size);
  if (size > available) return nullptr;
  if (size == 0) {
    std::free(old);
    host.memory_left = available;
    return nullptr;
  }
  auto* const head = static_cast<BlockHead*>(std::realloc(old, sizeof(BlockHead) + size));
  if (head == nullptr) return nullptr;
  head->size = size;
  host.memory_left = available - size;
  return head + 1;
}

// Duktape throws by longjmp: a function that calls it keeps no object that has a destructor.

/// Pixels that `pngUrl` enlarges, four bytes each.
struct Cells {
  std::string_view pixels;
  int columns, rows;
};

/// False if there is no such image.
bool MakePngUrl(const Cells& cells, int width, int height, std::string& url) {
  const auto [pixels, columns, rows] = cells;
  if (columns <= 0 || rows <= 0 || pixels.size() != size_t{4} * columns * rows) return false;
  const auto png = PngOfPixels(pixels, columns, rows, width, height);
  if (png) url = "data:image/png;base64," + Base64(*png);
  return png.has_value();
}

/// The script's `pngUrl(pixels, columns, rows, width, height)`: PngOfPixels() as the URL of an
/// image.
duk_ret_t PngUrl(duk_context* engine) {
  duk_memory_functions functions;
  duk_get_memory_functions(engine, &functions);
  auto& host = *static_cast<Host*>(functions.udata);
  duk_size_t size = 0;
  const auto* const pixels = static_cast<const char*>(duk_require_buffer_data(engine, 0, &size));
  const Cells cells{{pixels, size}, duk_require_int(engine, 1), duk_require_int(engine, 2)};
  const int width = duk_require_int(engine, 3), height = duk_require_int(engine, 4);
  if (!MakePngUrl(cells, width, height, host.image)) return DUK_RET_RANGE_ERROR;
  duk_push_lstring(engine, host.image.data(), host.image.size());
  return 1;
}

duk_ret_t LoadScript(duk_context* engine, void* script) {
  const auto& text = *static_cast<const std::string_view*>(script);
  duk_push_c_function(engine, PngUrl, 5);
  duk_put_global_string(engine, "pngUrl");
  duk_eval_lstring(engine, text.data(), text.size());
  return 0;
}

struct Request {
  std::string_view chart, data;
};

duk_ret_t DrawPicture(duk_context* engine, void* request) {
  const auto& [chart, data] = *static_cast<const Request*>(request);
  duk_get_global_string(engine, "drawPicture");
  duk_push_lstring(engine, chart.data(), chart.size());
  duk_push_lstring(engine, data.data(), data.size());
  duk_push_int(engine, kSvgWidth);
  duk_push_int(engine, kSvgHeight);
  duk_call(engine, 4);
  return 1;
}

class DuktapePictures : public Pictures {
 public:
  // The limit holds from then on: making a heap can't fail half-way (Duktape 2.7 recurses until the
  // stack is full).
  explicit DuktapePictures(size_t memory_limit)
      : host_{std::numeric_limits<size_t>::max() / 2, ""},
        engine_(duk_create_heap(
            [](void* host, duk_size_t size) { return Resize(host, nullptr, size); }, Resize,
            [](void* host, void* block) { Resize(host, block, 0); }, &host_, nullptr)) {
    host_.memory_left = memory_limit;
  }
  ~DuktapePictures() override { duk_destroy_heap(engine_); }
  DuktapePictures(const DuktapePictures&) = delete;
  DuktapePictures& operator=(const DuktapePictures&) = delete;

  Result<void> Load(std::string_view script) {
    if (engine_ == nullptr) return Malformed("pictures", "there is no memory for the engine");
    return Call(LoadScript, &script).map([](const std::string&) {});
  }

  Result<std::string> Svg(std::string_view chart, std::string_view data) override {
    Request request{chart, data};
    return Call(DrawPicture, &request);
  }

 private:
  /// What `function` returns, as text. It runs so that errors of the script come back to here.
  Result<std::string> Call(duk_safe_call_function function, void* argument) {
    const bool done = duk_safe_call(engine_, function, argument, 0, 1) == DUK_EXEC_SUCCESS;
    duk_size_t size = 0;
    const char* const text = duk_safe_to_lstring(engine_, -1, &size);
    std::string result(text, size);
    duk_pop(engine_);
    if (!done) return Malformed("pictures", "the charts' script failed: " + result);
    return result;
  }

  Host host_;
  duk_context* engine_;
};

}  // namespace

Result<std::unique_ptr<Pictures>> Pictures::Open(size_t memory_limit) {
  auto pictures = std::make_unique<DuktapePictures>(memory_limit);
  return pictures->Load(*PicturesScript()).map([&]() -> std::unique_ptr<Pictures> {
    return std::move(pictures);
  });
}

}  // namespace moe
