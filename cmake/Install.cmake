# What `cmake --install` puts where: the program, the libraries it needs and no system package has,
# and the library (public headers, archives, CMake package).
include(CMakePackageConfigHelpers)

set(MOE_PRIVATE_LIBDIR lib/moescope)  # the program's own shared libraries, found by RPATH
if(APPLE)
  set(moe_origin @loader_path)
else()
  set(moe_origin $ORIGIN)
endif()

# install_wheel_licences(SITE_PACKAGES NAME): licence texts of a Python wheel whose libraries we install.
function(install_wheel_licences site_packages name)
  file(GLOB folders ${site_packages}/${name}-*.dist-info/licenses)
  foreach(folder ${folders})
    install(DIRECTORY ${folder}/ DESTINATION ${MOE_PRIVATE_LIBDIR}/licenses/${name})
  endforeach()
endfunction()

install(TARGETS moescope RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES LICENSE THIRD_PARTY_NOTICES.md DESTINATION ${MOE_PRIVATE_LIBDIR}/licenses)

if(MOE_HAS_WEB)  # its libraries stand inside the program
  set(web_packages ${PROJECT_SOURCE_DIR}/src/report/web/node_modules)
  install(FILES ${web_packages}/echarts/LICENSE ${web_packages}/echarts/NOTICE
                ${web_packages}/echarts/licenses/LICENSE-d3
          DESTINATION ${MOE_PRIVATE_LIBDIR}/licenses/echarts)
  install(FILES ${web_packages}/zrender/LICENSE DESTINATION ${MOE_PRIVATE_LIBDIR}/licenses/zrender)
  install(FILES ${web_packages}/tslib/LICENSE.txt DESTINATION ${MOE_PRIVATE_LIBDIR}/licenses/tslib)
endif()

if(MOE_ARROW_FROM_WHEEL)
  set_target_properties(moescope PROPERTIES
    INSTALL_RPATH ${moe_origin}/../${MOE_PRIVATE_LIBDIR})
  foreach(target Arrow::arrow_shared Parquet::parquet_shared)
    get_target_property(path ${target} IMPORTED_LOCATION)
    install(FILES ${path} DESTINATION ${MOE_PRIVATE_LIBDIR})
  endforeach()
  cmake_path(GET MOE_ARROW_LIBRARY_DIR PARENT_PATH site_packages)
  install_wheel_licences(${site_packages} pyarrow)
else()
  set_target_properties(moescope PROPERTIES INSTALL_RPATH_USE_LINK_PATH TRUE)
endif()

if(TARGET moescope_mlx)
  set_target_properties(moescope_mlx PROPERTIES INSTALL_RPATH ${moe_origin}/mlx/lib)
  install(TARGETS moescope_mlx LIBRARY DESTINATION ${MOE_PRIVATE_LIBDIR})
  if(MLX_LIBRARY_DIRS MATCHES "/site-packages/mlx/")
    # The wheel's layout is kept: libmlx finds its BLAS relative to itself.
    cmake_path(GET MLX_LIBRARY_DIRS PARENT_PATH wheel)
    cmake_path(GET wheel PARENT_PATH site_packages)
    install(DIRECTORY ${wheel}/lib/ DESTINATION ${MOE_PRIVATE_LIBDIR}/mlx/lib)
    if(EXISTS ${site_packages}/mlx_cpu.libs)
      install(DIRECTORY ${site_packages}/mlx_cpu.libs DESTINATION ${MOE_PRIVATE_LIBDIR})
    endif()
    install_wheel_licences(${site_packages} mlx)
    install_wheel_licences(${site_packages} mlx_cpu)
  else()
    set_target_properties(moescope_mlx PROPERTIES INSTALL_RPATH_USE_LINK_PATH TRUE)
  endif()
endif()

# The library: no Arrow, no MLX. A component, so that it can be installed without the program.
set(moe_library_rooms moe_model moe_experts moe_codec moe_checkpoint moe_measure moe_base)
add_library(moescope_library INTERFACE)
set_target_properties(moescope_library PROPERTIES EXPORT_NAME moescope)
target_link_libraries(moescope_library INTERFACE ${moe_library_rooms})
install(TARGETS moescope_library ${moe_library_rooms} EXPORT moescope
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(DIRECTORY include/moescope DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/moescope)
install(EXPORT moescope NAMESPACE moescope:: FILE moescopeTargets.cmake DESTINATION ${package_dir}
        COMPONENT library)
configure_package_config_file(cmake/moescopeConfig.cmake.in ${PROJECT_BINARY_DIR}/moescopeConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/moescopeConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/moescopeConfig.cmake
              ${PROJECT_BINARY_DIR}/moescopeConfigVersion.cmake DESTINATION ${package_dir}
        COMPONENT library)

# For cmake/Uninstall.cmake: what one whole installation put there.
install(CODE [[
  set(names ${CMAKE_INSTALL_MANIFEST_FILES})
  list(TRANSFORM names REPLACE "^${CMAKE_INSTALL_PREFIX}/" "")
  list(JOIN names "\n" text)
  file(WRITE "$ENV{DESTDIR}${CMAKE_INSTALL_PREFIX}/lib/moescope/installed-files.txt" "${text}\n")
]])
