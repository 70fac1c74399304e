/// @file
/// Eigen, without its own threads: the backend cuts the work itself, so that results do not depend
/// on how many there are.
#pragma once

#if defined(EIGEN_CORE_H) && defined(_OPENMP) && !defined(EIGEN_DONT_PARALLELIZE)
#error "branchlora: include its headers before Eigen's, or compile with EIGEN_DONT_PARALLELIZE"
#endif
#ifndef EIGEN_DONT_PARALLELIZE
#define EIGEN_DONT_PARALLELIZE
#endif

#include <Eigen/Core>  // IWYU pragma: export
