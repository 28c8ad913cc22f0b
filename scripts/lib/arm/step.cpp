// One step by the kernels: plan, tables, parameters and tokens from stdin, losses and gradients to stdout, all as they lie
// in memory.

#include "kernels.cpp"

#include <cstdio>

template <class T> static std::vector<T> read(long count) {
    std::vector<T> numbers(count);
    if (fread(numbers.data(), sizeof(T), count, stdin) != size_t(count)) std::abort();
    return numbers;
}

int main() {
    ModelPlan plan = read<ModelPlan>(1)[0];
    const auto sublayers = read<SublayerPlan>(plan.num_sublayers);
    plan.sublayers = sublayers.data();
    const auto size = read<long>(6);  // members, parameters, sequences, and of the three tables
    const auto positions = read<REAL>(size[3]), cosine = read<REAL>(size[4]), sine = read<REAL>(size[5]);
    if (plan.positions) plan.positions = positions.data();
    if (plan.cosine) plan.cosine = cosine.data(), plan.sine = sine.data();
    const auto flat = read<REAL>(size[0] * size[1]);
    const auto inputs = read<int64_t>(size[0] * size[2] * plan.tokens);
    const auto targets = read<int64_t>(size[0] * size[2] * plan.targets);
    std::vector<REAL> loss(size[0]), gradient(size[0] * size[1]);
    model_gradient(&plan, size[0], size[1], size[2], flat.data(), inputs.data(), targets.data(), loss.data(),
                   gradient.data());
    fwrite(loss.data(), sizeof(REAL), loss.size(), stdout);
    fwrite(gradient.data(), sizeof(REAL), gradient.size(), stdout);
}
