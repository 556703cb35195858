// The products of one window: small matrices that stay in the first cache.
#pragma once
#include "units.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int TILE = 4, ROWS = 7;  // 7 x 4 sums and 4 operands are the 32 registers; 49 tokens are 7 x 7
#else
constexpr int TILE = 2, ROWS = 6;  // 6 x 2 sums, 2 vectors and a number of AVX2's 16
#endif

template <typename T> struct Buffer {  // zeros, aligned to whole vectors
    std::vector<vec> held;
    explicit Buffer(size_t count) : held((count * sizeof(T) + sizeof(vec) - 1) / sizeof(vec)) {}
    operator T*() { return reinterpret_cast<T*>(held.data()); }
};

// tokens (N, D) to cells (D / STEP, P); N is padded with zeros in the source
template <typename U, int D> void transposed(const typename U::number* from, typename U::cell* to, int P) {
    constexpr int across = D / U::STEP;
    for (int token = 0; token < P; token += LANES)
        for (int c = 0; c < across; c += LANES) {
            typename U::cells rows[LANES];
            for (int row = 0; row < LANES; ++row) rows[row] = load_cells<U>(cells_of<U>(from) + (token + row) * across + c);
            transpose<1>(rows);
            for (int row = 0; row < LANES; ++row) store_cells<U>(to + (c + row) * P + token, rows[row]);
        }
}
// tokens (N, D) to groups of rows (N / STEP rounded up, D)
template <typename U, int D> void grouped(const typename U::number* from, typename U::cell* to, int N) {
    for (int t = 0; t < N; t += U::STEP)
        for (int c = 0; c < D; c += LANES) store_cells<U>(to + t / U::STEP * D + c, U::group(from + t * D + c, from + (t + 1) * D + c));
}

// Where products find their first factor: the number for row r and step m is from[r * across + m * along].
template <typename C, typename Across, typename Along> struct Factor {
    const C* from; Across across; Along along;
    C operator()(int row, int step) const { return from[row * across + step * along]; }
    Factor below(int rows) const { return {from + (size_t)rows * across, across, along}; }
};

// R rows by T vectors of out (rows, width) = sum over ``count`` steps m of a(r, m) b (count, width)
template <typename U, int R, int T, typename A, typename Width>
void product_tile(const A& a, const typename U::cell* b, int count, Width width, float* out) {
    vec total[R][T] = {};
    for (int m = 0; m < count; ++m) add_step<U>(total, [&](int row) { return a(row, m); }, b + m * width);
#pragma GCC unroll 8
    for (int row = 0; row < R; ++row)
#pragma GCC unroll 8
        for (int part = 0; part < T; ++part) store(out + row * width + part * LANES, total[row][part]);
}
// all columns, as many vectors at a time as there are
template <typename U, int R, int T = TILE, typename A, typename Width>
void product_rows(const A& a, const typename U::cell* b, int count, Width width, float* out, int column = 0) {
    for (; column + T * LANES <= width; column += T * LANES) product_tile<U, R, T>(a, b + column, count, width, out + column);
    if constexpr (T > 1)
        if (column < width) product_rows<U, R, T - 1>(a, b, count, width, out, column);
}
// all N rows, as many at a time as there are, halved and halved
template <typename U, int R = ROWS, typename A, typename Width>
void product(const A& a, const typename U::cell* b, int count, Width width, int N, float* out) {
    int row = 0;
    for (; row + R <= N; row += R) product_rows<U, R>(a.below(row), b, count, width, out + (size_t)row * width);
    if constexpr (R > 1) product<U, R / 2>(a.below(row), b, count, width, N - row, out + (size_t)row * width);
}
// out (N, P) = a (N, D) times b (D, P)
template <typename U, int D> void product(const typename U::number* a, const typename U::cell* b, int N, int P, float* out) {
    typedef std::integral_constant<int, D / U::STEP> K;
    typedef std::integral_constant<int, 1> Beside;
    product<U>(Factor<typename U::cell, K, Beside>{cells_of<U>(a), {}, {}}, b, K{}, P, N, out);
}
// out (N, D) = sum over m of a[row * across + m * along] b (m, D)
template <typename U, int D>
void weighted(const typename U::cell* a, int across, int along, const typename U::cell* b, int N, float* out) {
    typedef std::integral_constant<int, D> Width;
    product<U>(Factor<typename U::cell, int, int>{a, across, along}, b, (N + U::STEP - 1) / U::STEP, Width{}, N, out);
}

}  // namespace
