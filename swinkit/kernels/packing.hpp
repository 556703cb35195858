// Weights in the order in which products read them: panels of a few vectors of outputs; in each, the inputs one step after another.
#pragma once
#include "units.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int ROWS = 8, VECTORS = 3;  // of a tile: 24 sums, 3 vectors of weights and one number of x are 28 of AVX-512's 32 registers
#else
constexpr int ROWS = 4, VECTORS = 3;  // 12 sums, 3 vectors and a number: AVX2's 16
#endif
constexpr int64_t WIDTH = VECTORS * LANES;  // of a panel

// The ``index``-th of the panels of so many columns. A last one of a single vector would be a tile of sums that wait for one another: it
// shares with the one before.
struct Panel { int64_t column, width; };
Panel panel(int64_t index, int64_t columns) {
    static_assert(VECTORS == 3, "one more than a panel's vectors are two panels of two");
    const int64_t behind = (columns + WIDTH - 1) / WIDTH - 1 - index, two = 2 * LANES;
    if (columns > WIDTH && columns % WIDTH == LANES && behind < 2) return {columns - (behind + 1) * two, two};
    return {index * WIDTH, std::min(WIDTH, columns - index * WIDTH)};
}

// Where the vector of outputs that begins with ``column`` stands in the packed weights, and how far it is from one step to the next.
struct Standing { int64_t at, stride; };
Standing standing(int64_t column, int64_t columns, int64_t steps) {
    Panel of = panel(column / WIDTH, columns);
    if (column >= of.column + of.width) of = panel(column / WIDTH + 1, columns);
    return {of.column * steps + column - of.column, of.width};
}

// from weights (inner, columns): row by row
template <typename U> void pack_transposed(const float* weights, int64_t columns, int64_t inner, typename U::cell* packed, int threads) {
    const int64_t steps = inner / U::STEP;
    in_parallel(steps, threads, [&](int64_t first, int64_t last) {
        for (int64_t step = first; step < last; ++step) {
            const float* from = weights + step * U::STEP * columns;
            for (int64_t column = 0; column < columns; column += LANES) {
                const Standing place = standing(column, columns, steps);
                store_cells<U>(packed + place.at + step * place.stride, U::group(from + column, from + columns + column));
            }
        }
    });
}

// from weights (columns, inner): blocks of as many rows as a vector has numbers, transposed
template <typename U> void pack(const float* weights, int64_t columns, int64_t inner, typename U::cell* packed, int threads) {
    const int64_t steps = inner / U::STEP;
    in_parallel(columns / LANES, threads, [&](int64_t first, int64_t last) {
        for (int64_t column = first * LANES; column < last * LANES; column += LANES) {
            const Standing place = standing(column, columns, steps);
            for (int64_t step = 0; step < steps; step += LANES) {
                const int64_t begin = std::max<int64_t>(0, std::min(step, steps - LANES));  // the last block may meet the one before
                typename U::cells rows[LANES];
                for (int row = 0; row < LANES; ++row) {
                    const float* from = weights + (column + row) * inner + begin * U::STEP;
                    float short_row[2 * LANES] = {};
                    rows[row] = U::along(steps < LANES ? std::copy_n(from, inner, short_row) - inner : from);
                }
                transpose(rows);
                for (int row = 0; row < std::min<int64_t>(LANES, steps); ++row)
                    store_cells<U>(packed + place.at + (begin + row) * place.stride, rows[row]);
            }
        }
    });
}

}  // namespace
