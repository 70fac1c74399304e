include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_dir ${CMAKE_INSTALL_DATADIR}/cmake/branchlora)
install(TARGETS branchlora branchlora_eigen EXPORT branchloraTargets
        FILE_SET HEADERS FILE_SET inline FILE_SET processes)
set(architecture ARCH_INDEPENDENT)
if(BRANCHLORA_COMPILED)
  install(TARGETS branchlora_compiled EXPORT branchloraTargets)
  set(architecture "")
endif()
install(EXPORT branchloraTargets NAMESPACE branchlora:: DESTINATION ${package_dir})
configure_package_config_file(cmake/branchloraConfig.cmake.in branchloraConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(branchloraConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion ${architecture})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/branchloraConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/branchloraConfigVersion.cmake
              cmake/branchloraPlainHeaders.cmake
        DESTINATION ${package_dir})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
