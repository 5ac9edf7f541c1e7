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

set(MOE_PYARROW "" CACHE PATH "The package pyarrow of another machine; empty: that of MOE_PYTHON")
if(NOT MOE_PYARROW)
  set(MOE_PYTHON "${PROJECT_SOURCE_DIR}/.venv/bin/python" CACHE FILEPATH "Interpreter that has pyarrow")
  execute_process(
    COMMAND ${MOE_PYTHON} -c "import os, pyarrow; print(os.path.dirname(pyarrow.__file__))"
    OUTPUT_VARIABLE MOE_ARROW_LIBRARY_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
else()
  set(MOE_ARROW_LIBRARY_DIR ${MOE_PYARROW})
endif()
set(moe_arrow_include ${MOE_ARROW_LIBRARY_DIR}/include)
if(NOT EXISTS ${moe_arrow_include}/arrow/api.h)
  message(FATAL_ERROR "Neither a system Arrow/Parquet nor pyarrow in ${MOE_PYTHON}${MOE_PYARROW} was found. Run setup/setup.sh (or 'make').")
endif()
file(STRINGS ${moe_arrow_include}/arrow/util/config.h MOE_ARROW_VERSION REGEX "define ARROW_VERSION_STRING ")
string(REGEX REPLACE ".*\"(.*)\"" "\\1" MOE_ARROW_VERSION "${MOE_ARROW_VERSION}")
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
