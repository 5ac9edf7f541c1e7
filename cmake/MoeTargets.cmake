# Helpers every room uses: moe_add_room() for a folder of src/, moe_add_test() for its tests.
include(GNUInstallDirs)
find_package(Threads REQUIRED)

# moe::warnings: all of ours, as errors, on our code only.
add_library(moe_warnings INTERFACE)
target_compile_options(moe_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Werror)
add_library(moe::warnings ALIAS moe_warnings)

# moe::exact_fp: the tables must not depend on whether a compiler felt like fusing a*b+c.
add_library(moe_exact_fp INTERFACE)
target_compile_options(moe_exact_fp INTERFACE -ffp-contract=off)
add_library(moe::exact_fp ALIAS moe_exact_fp)

find_program(MOE_GOLD ld.gold)
if(MOE_SANITIZE)
  add_compile_options(-fsanitize=${MOE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MOE_SANITIZE})
  if(MOE_SANITIZE MATCHES address)  # 57 MB of tables with addresses, which needn't be mended at each start
    add_link_options($<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
  endif()
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND MOE_GOLD)  # it links such programs in two thirds of the time
    add_link_options(-fuse-ld=gold)
  endif()
endif()

# Sanitized builds parse what most of our files include once for many. Optimised ones don't: with
# precompiled headers g++ 12 warns of the standard library's own code. Nor where a compiler cache is in use,
# which saves more and doesn't go together with them.
if(MOE_SANITIZE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(MOE_PRECOMPILE ON)
endif()

# moe_precompile_headers(TARGET [HEADERS...])
function(moe_precompile_headers target)
  if(MOE_PRECOMPILE)
    target_precompile_headers(${target} PRIVATE <algorithm> <array> <cmath> <cstdint> <filesystem>
      <fmt/format.h> <fmt/ranges.h> <functional> <map> <memory> <optional> <set> <span> <string>
      <string_view> <tl/expected.hpp> <utility> <vector> ${ARGN})
  endif()
endfunction()
# moe_reuse_headers(TARGET OF): those of a target that is compiled with the same options.
function(moe_reuse_headers target of)
  if(MOE_PRECOMPILE)
    target_precompile_headers(${target} REUSE_FROM ${of})
  endif()
endfunction()

# moe_add_room(NAME [OWN_HEADERS] SOURCES ... PUBLIC ... PRIVATE ...)
# A room is a static library moe_NAME (alias moe::NAME). It sees include/ and src/; which rooms it
# may include is what it links (docs/architecture.md; tests/check_rooms.py holds it to that). OWN_HEADERS:
# it is compiled with options that others haven't, so that it can't share their precompiled headers.
function(moe_add_room name)
  cmake_parse_arguments(ARG "OWN_HEADERS" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(moe_${name} STATIC ${ARG_SOURCES})
  add_library(moe::${name} ALIAS moe_${name})
  target_include_directories(moe_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(moe_${name} PUBLIC cxx_std_20)
  set_target_properties(moe_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME ${name})
  target_link_libraries(moe_${name} PUBLIC ${ARG_PUBLIC}
    PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:moe_warnings> $<BUILD_INTERFACE:moe_exact_fp>)
  # Sanitized builds are optimised little (that compiles fastest), but for loops in SIMD.
  if(MOE_SANITIZE AND name MATCHES "^(base|measure)$")
    target_compile_options(moe_${name} PRIVATE -O1)
  endif()
  if(ARG_OWN_HEADERS)
    moe_precompile_headers(moe_${name})
  else()
    moe_reuse_headers(moe_${name} moe_prelude)
  endif()
endfunction()

# Everything that only tests need; `all` is what a user installs.
add_custom_target(moe_tests)

function(moe_compile_as_test target)
  target_compile_options(${target} PRIVATE -O0)  # compiling them takes longer than running them
  if(MOE_SANITIZE)  # undefined behaviour is looked for in what they call
    target_compile_options(${target} PRIVATE -fno-sanitize=undefined)
  endif()
endfunction()

# moe_add_test(ROOM_test SOURCES ... LIBS ...): the GoogleTest program of a room, registered whole with
# ctest. base/test_files.h says where tests/data lies.
function(moe_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  add_dependencies(moe_tests ${name})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} moe_fixtures moe::warnings moe::exact_fp)
  moe_compile_as_test(${name})
  moe_reuse_headers(${name} moe_fixtures)
  add_test(NAME ${name} COMMAND ${name})
endfunction()
