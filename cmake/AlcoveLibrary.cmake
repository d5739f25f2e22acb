# libalcove: the modules that an application needs, as one library that other projects find with
# `find_package(Alcove)` or pkg-config.
set(modules)
foreach(module support exec input display storage config control agent firmware client view)
  list(APPEND modules $<TARGET_OBJECTS:alcove_${module}>)
endforeach()
add_library(alcove STATIC ${modules})
add_library(alcove::alcove ALIAS alcove)
target_link_libraries(alcove PUBLIC Threads::Threads PRIVATE fmt::fmt PNG::PNG ZLIB::ZLIB PkgConfig::ZSTD)
target_include_directories(alcove INTERFACE $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
                                            $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(alcove INTERFACE cxx_std_23)

add_custom_target(libraries DEPENDS alcove)

# libalcove-qt: VirtualMachineView. `find_package(Alcove COMPONENTS qt)`, or pkg-config's alcove-qt.
if(Qt6_FOUND)
  add_library(alcove-qt STATIC $<TARGET_OBJECTS:alcove_view_qt>)
  add_library(alcove::alcove-qt ALIAS alcove-qt)
  target_link_libraries(alcove-qt PUBLIC alcove Qt6::Widgets)
  add_dependencies(libraries alcove-qt)
  install(TARGETS alcove-qt EXPORT alcove_qt_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT alcove_qt_targets NAMESPACE alcove:: FILE AlcoveQtTargets.cmake
          DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Alcove)
endif()

install(DIRECTORY include/alcove DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS alcove EXPORT alcove_targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT alcove_targets NAMESPACE alcove:: FILE AlcoveTargets.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Alcove)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(AlcoveConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES cmake/AlcoveConfig.cmake ${CMAKE_BINARY_DIR}/AlcoveConfigVersion.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/Alcove)
# Relative, so that an installation can be moved.
file(RELATIVE_PATH ALCOVE_PREFIX_FROM_PC /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/alcove.pc.in alcove.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/alcove.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(Qt6_FOUND)
  configure_file(cmake/alcove-qt.pc.in alcove-qt.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/alcove-qt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
