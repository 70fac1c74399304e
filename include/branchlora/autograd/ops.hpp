/// @file
/// All operations of the tape.
#pragma once

#include "branchlora/autograd/op/add.hpp"                 // IWYU pragma: export
#include "branchlora/autograd/op/add_rows.hpp"            // IWYU pragma: export
#include "branchlora/autograd/op/attention.hpp"           // IWYU pragma: export
#include "branchlora/autograd/op/batch_norm.hpp"          // IWYU pragma: export
#include "branchlora/autograd/op/concat.hpp"              // IWYU pragma: export
#include "branchlora/autograd/op/conv1d.hpp"              // IWYU pragma: export
#include "branchlora/autograd/op/conv_transpose1d.hpp"    // IWYU pragma: export
#include "branchlora/autograd/op/cross_entropy.hpp"       // IWYU pragma: export
#include "branchlora/autograd/op/distillation.hpp"        // IWYU pragma: export
#include "branchlora/autograd/op/dropout.hpp"             // IWYU pragma: export
#include "branchlora/autograd/op/elu.hpp"                 // IWYU pragma: export
#include "branchlora/autograd/op/frozen_linear.hpp"       // IWYU pragma: export
#include "branchlora/autograd/op/gather.hpp"              // IWYU pragma: export
#include "branchlora/autograd/op/gaussian_latent.hpp"     // IWYU pragma: export
#include "branchlora/autograd/op/gelu.hpp"                // IWYU pragma: export
#include "branchlora/autograd/op/layer_norm.hpp"          // IWYU pragma: export
#include "branchlora/autograd/op/leaky_relu.hpp"          // IWYU pragma: export
#include "branchlora/autograd/op/linear.hpp"              // IWYU pragma: export
#include "branchlora/autograd/op/mean_squared_error.hpp"  // IWYU pragma: export
#include "branchlora/autograd/op/recompute.hpp"           // IWYU pragma: export
#include "branchlora/autograd/op/reshape.hpp"             // IWYU pragma: export
#include "branchlora/autograd/op/rms_norm.hpp"            // IWYU pragma: export
#include "branchlora/autograd/op/rope.hpp"                // IWYU pragma: export
#include "branchlora/autograd/op/slots.hpp"               // IWYU pragma: export
#include "branchlora/autograd/op/swiglu.hpp"              // IWYU pragma: export
