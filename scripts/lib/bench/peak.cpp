// The most that one core computes: multiplications and additions on vectors that stay in registers, as many side by side
// as their latency asks for and the registers hold.

#include <chrono>

#include "vector.hpp"

constexpr int SIDE_BY_SIDE = BYTES == 64 ? 20 : 12, ROUNDS = 50000;

// Floating-point operations in a second, the best of five runs. The compiler may neither leave them out nor compute them
// beforehand: what they begin with comes from memory, and what they end with goes there.
extern "C" double peak(volatile REAL* seed) {
    typedef Vector<REAL, LANES<REAL>> V;
    const V factor = V{} + seed[0], summand = V{} + seed[1];
    V sum[SIDE_BY_SIDE];
    for (V& v : sum) v = V{} + seed[2];
    double best = 0;
    for (int run = 0; run < 5; run++) {
        const auto began = std::chrono::steady_clock::now();
        for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 32
            for (int i = 0; i < SIDE_BY_SIDE; i++) sum[i] = sum[i] * factor + summand;
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
        const double rate = 2.0 * LANES<REAL> * SIDE_BY_SIDE * ROUNDS / took.count();
        best = rate > best ? rate : best;
    }
    for (V v : sum) seed[3] = ::sum<REAL, LANES<REAL>>(v);
    return best;
}
