# Arrow::arrow_shared and Parquet::parquet_shared: from the system if CMake finds them (Homebrew,
# conda, Apache's own packages), else from the pinned pyarrow wheel in the project's .venv, which
# setup/setup.sh puts there (shared libraries and headers, no CMake package). Sets
# MOE_ARROW_FROM_WHEEL, and then MOE_ARROW_LIBRARY_DIR.
include_guard(GLOBAL)
find_package(Arrow CONFIG QUIET GLOBAL)
find_package(Parquet CONFIG QUIET GLOBAL)
if(TARGET Arrow::arrow_shared AND TARGET Parquet::parquet_shared)
  set(MOE_ARROW_FROM_WHEEL FALSE)
  return()
endif()

set(MOE_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "Interpreter that has pyarrow")
execute_process(
  COMMAND ${MOE_PYTHON} -c "import os, pyarrow
print(pyarrow.get_include(), os.path.dirname(pyarrow.__file__), pyarrow.__version__, sep='\\n')"
  OUTPUT_VARIABLE moe_pyarrow OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE moe_pyarrow_rc ERROR_QUIET)
if(NOT moe_pyarrow_rc EQUAL 0)
  message(FATAL_ERROR "Neither a system Arrow/Parquet nor pyarrow in ${MOE_PYTHON} was found. Run setup/setup.sh (or 'make').")
endif()
string(REPLACE "\n" ";" moe_pyarrow "${moe_pyarrow}")
list(GET moe_pyarrow 0 moe_arrow_include)
list(GET moe_pyarrow 1 MOE_ARROW_LIBRARY_DIR)
list(GET moe_pyarrow 2 MOE_ARROW_VERSION)
set(moe_target_of_arrow Arrow::arrow_shared)
set(moe_target_of_parquet Parquet::parquet_shared)
foreach(lib arrow parquet)
  set(target ${moe_target_of_${lib}})
  file(GLOB candidates ${MOE_ARROW_LIBRARY_DIR}/lib${lib}.so.[0-9]* ${MOE_ARROW_LIBRARY_DIR}/lib${lib}.[0-9]*.dylib)
  list(GET candidates 0 path)
  add_library(${target} SHARED IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${path}
    INTERFACE_INCLUDE_DIRECTORIES ${moe_arrow_include}
    INTERFACE_SYSTEM_INCLUDE_DIRECTORIES ${moe_arrow_include})
endforeach()
set(MOE_ARROW_FROM_WHEEL TRUE)
message(STATUS "Arrow ${MOE_ARROW_VERSION} from the pyarrow wheel")
