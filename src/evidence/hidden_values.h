#pragma once

#include <vector>

namespace moe {

/// By hidden value of an expert or another MLP, the mean square that down_proj gets, guessed from
/// the weights alone ("@free" of the study that docs/recipes.md tells of): outputs of gate and up
/// are independent normals of mean 0. E[silu(g)^2] E[u^2] where there is a gate; E[relu(u)^4] where
/// there is none (squared ReLU, Nemotron-H). `gate`, `up`: variances; gate may be empty.
std::vector<double> GuessDownInput(const std::vector<double>& gate, const std::vector<double>& up);

}  // namespace moe
