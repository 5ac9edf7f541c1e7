# Linux on 64-bit ARM, from any Debian or Ubuntu: its cross compiler, its arm64 packages (multiarch) and
# qemu, which runs what is built. `setup/setup.sh --cross` brings them.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_DISABLE_FIND_PACKAGE_Arrow ON)  # this machine's
set(CMAKE_DISABLE_FIND_PACKAGE_MLX ON)
set(MOE_PYARROW ${CMAKE_CURRENT_LIST_DIR}/../../.venv/aarch64/pyarrow)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64-static)
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig)
