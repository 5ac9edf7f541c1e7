#include "report/png.h"

#include <cairo.h>
#include <librsvg/rsvg.h>
#include <zlib.h>

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <utility>

namespace moe {
namespace {

template <auto kFree>
struct Freed {
  void operator()(auto* object) const { kFree(object); }
};
using Surface = std::unique_ptr<cairo_surface_t, Freed<cairo_surface_destroy>>;
using Canvas = std::unique_ptr<cairo_t, Freed<cairo_destroy>>;
using Svg = std::unique_ptr<RsvgHandle, Freed<g_object_unref>>;

tl::unexpected<Error> CantDraw(const char* why) {
  return Malformed("picture", std::string("can't be drawn: ") + why);
}

constexpr uint32_t kPixelsPerMetre = 6299;  // 160 an inch

Result<std::string> Encoded(cairo_surface_t* surface) {
  std::string png;
  const auto append = [](void* out, const unsigned char* bytes, unsigned size) {
    static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), size);
    return CAIRO_STATUS_SUCCESS;
  };
  const cairo_status_t status = cairo_surface_write_to_png_stream(surface, append, &png);
  if (status != CAIRO_STATUS_SUCCESS) return CantDraw(cairo_status_to_string(status));
  return png;
}

std::string BigEndian(uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 0xff);
  return bytes;
}

/// `png` with the chunk pHYs (PNG, section 11.3.5.3) behind its header.
std::string WithResolution(std::string png, uint32_t pixels_per_metre) {
  constexpr size_t kHeaderEnd = 33;  // signature and IHDR
  constexpr char kMetre = 1;
  const std::string density = BigEndian(pixels_per_metre);
  const std::string body = "pHYs" + density + density + kMetre;
  const auto* bytes = reinterpret_cast<const Bytef*>(body.data());
  const auto check = static_cast<uint32_t>(crc32(0, bytes, static_cast<uInt>(body.size())));
  return png.insert(kHeaderEnd, BigEndian(9) + body + BigEndian(check));
}

}  // namespace

bool HasFonts() {
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1));
  const Canvas canvas(cairo_create(surface.get()));
  // Without a font on the system cairo takes one of its own, which is drawn by a program.
  return cairo_scaled_font_get_type(cairo_get_scaled_font(canvas.get())) != CAIRO_FONT_TYPE_USER;
}

Result<std::string> PngOfSvg(std::string_view svg, int width, int height) {
  GError* error = nullptr;
  const auto failed = [&error] {
    const std::unique_ptr<GError, Freed<g_error_free>> owner(error);
    return CantDraw(error->message);
  };
  const Svg handle(
      rsvg_handle_new_from_data(reinterpret_cast<const guint8*>(svg.data()), svg.size(), &error));
  if (!handle) return failed();
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  const Canvas canvas(cairo_create(surface.get()));
  const RsvgRectangle all{0, 0, static_cast<double>(width), static_cast<double>(height)};
  if (!rsvg_handle_render_document(handle.get(), canvas.get(), &all, &error)) return failed();
  return Encoded(surface.get()).map([](std::string png) {
    return WithResolution(std::move(png), kPixelsPerMetre);
  });
}

Result<std::string> PngOfPixels(std::string_view pixels, int columns, int rows, int width,
                                int height) {
  assert(pixels.size() == size_t{4} * static_cast<size_t>(columns) * static_cast<size_t>(rows));
  width = std::max(width, columns);
  height = std::max(height, rows);
  const Surface surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height));
  const cairo_status_t status = cairo_surface_status(surface.get());
  if (status != CAIRO_STATUS_SUCCESS) return CantDraw(cairo_status_to_string(status));
  cairo_surface_flush(surface.get());
  unsigned char* line = cairo_image_surface_get_data(surface.get());
  for (int64_t y = 0; y < height; ++y, line += cairo_image_surface_get_stride(surface.get())) {
    const auto* row =
        reinterpret_cast<const uint8_t*>(pixels.data()) + y * rows / height * columns * 4;
    auto* out = reinterpret_cast<uint32_t*>(line);
    for (int64_t x = 0; x < width; ++x) {
      const uint8_t* rgb = row + x * columns / width * 4;
      *out++ = uint32_t{rgb[0]} << 16 | uint32_t{rgb[1]} << 8 | rgb[2];
    }
  }
  cairo_surface_mark_dirty(surface.get());
  return Encoded(surface.get());
}

}  // namespace moe
