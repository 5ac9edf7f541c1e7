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

if(MOE_SANITIZE)
  add_compile_options(-fsanitize=${MOE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${MOE_SANITIZE})
endif()

# moe_add_room(NAME SOURCES ... PUBLIC ... PRIVATE ...)
# A room is a static library moe_NAME (alias moe::NAME). It sees include/ and src/; which rooms it
# may include is what it links (docs/architecture.md; tests/check_rooms.py holds it to that).
function(moe_add_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(moe_${name} STATIC ${ARG_SOURCES})
  add_library(moe::${name} ALIAS moe_${name})
  target_include_directories(moe_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
  target_compile_features(moe_${name} PUBLIC cxx_std_20)
  set_target_properties(moe_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON EXPORT_NAME ${name})
  target_link_libraries(moe_${name} PUBLIC ${ARG_PUBLIC}
    PRIVATE ${ARG_PRIVATE} $<BUILD_INTERFACE:moe_warnings> $<BUILD_INTERFACE:moe_exact_fp>)
  # Sanitized builds are not optimised (they compile a third faster so), but for loops in SIMD.
  if(MOE_SANITIZE AND name MATCHES "^(base|measure)$")
    target_compile_options(moe_${name} PRIVATE -O1)
  endif()
endfunction()

# Everything that only tests need; `all` is what a user installs.
add_custom_target(moe_tests)

# moe_add_test(ROOM_test SOURCES ... LIBS ...): the GoogleTest program of a room, registered whole with
# ctest. base/test_files.h says where tests/data lies.
function(moe_add_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  add_dependencies(moe_tests ${name})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} moe_fixtures moe::warnings moe::exact_fp)
  target_compile_options(${name} PRIVATE -O0)  # compiling them takes longer than running them
  if(MOE_SANITIZE)  # undefined behaviour is looked for in what they call
    target_compile_options(${name} PRIVATE -fno-sanitize=undefined)
  endif()
  add_test(NAME ${name} COMMAND ${name})
endfunction()
