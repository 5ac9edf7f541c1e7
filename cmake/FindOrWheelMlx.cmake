# MLX_FOUND and the target mlx: from the system, else from the mlx wheel in the project's .venv.
# Optional: without it src/mlx builds no plugin.
file(GLOB moe_mlx_wheel ${PROJECT_SOURCE_DIR}/.venv/lib/python3*/site-packages/mlx)
find_package(MLX CONFIG QUIET HINTS ${moe_mlx_wheel})
if(MLX_FOUND)
  message(STATUS "MLX ${MLX_VERSION} from ${MLX_LIBRARY_DIRS}")
else()
  message(STATUS "MLX not found: building without its plugin")
endif()
