#include "report/web_assets.h"

#include <cstddef>

// The assembler reads the files, so that their size costs the compiler nothing.
#ifdef __APPLE__
#define MOE_SECTION ".const_data"
#define MOE_SYMBOL(name) "_" name
#else
#define MOE_SECTION ".section .rodata"
#define MOE_SYMBOL(name) name
#endif
#define MOE_EMBED(name, file)                                   \
  asm(MOE_SECTION "\n.globl " MOE_SYMBOL(name) "\n" MOE_SYMBOL( \
      name) ":\n.incbin \"" MOE_WEB_FOLDER "/" file             \
            "\"\n.globl " MOE_SYMBOL(name) "_end\n" MOE_SYMBOL(name) "_end:\n.byte 0\n.text\n")

MOE_EMBED("moe_page_html", "page.html");
MOE_EMBED("moe_pictures_js", "pictures.js");

extern "C" const char moe_page_html[], moe_page_html_end[];
extern "C" const char moe_pictures_js[], moe_pictures_js_end[];

namespace moe {

std::optional<std::string_view> PageTemplate() {
  return std::string_view(moe_page_html, static_cast<size_t>(moe_page_html_end - moe_page_html));
}

std::optional<std::string_view> PicturesScript() {
  return std::string_view(moe_pictures_js,
                          static_cast<size_t>(moe_pictures_js_end - moe_pictures_js));
}

}  // namespace moe
