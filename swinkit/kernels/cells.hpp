// The products of one window: small matrices that stay in the first cache.
#pragma once
#include "units.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int TILE = 4, ROWS = 7;  // 7 x 4 accumulators and 4 operands are the 32 registers; 49 tokens are 7 x 7
#else
constexpr int TILE = 2, ROWS = 4;
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

// out (R, P) = a (R, K) times b (K, P)
template <typename U, int K, int R, int T> void product_tile(const typename U::cell* a, const typename U::cell* b, int P, float* out) {
    vec total[R][T] = {};
    for (int k = 0; k < K; ++k) {
        typename U::cells column[T];
        for (int part = 0; part < T; ++part) column[part] = load_cells<U>(b + k * P + part * LANES);
        for (int row = 0; row < R; ++row)
            for (int part = 0; part < T; ++part) total[row][part] = U::add(total[row][part], a[row * K + k], column[part]);
    }
    for (int row = 0; row < R; ++row)
        for (int part = 0; part < T; ++part) store(out + row * P + part * LANES, total[row][part]);
}
template <typename U, int K, int R> void product_rows(const typename U::cell* a, const typename U::cell* b, int P, float* out) {
    int column = 0;
    for (; column + TILE * LANES <= P; column += TILE * LANES) product_tile<U, K, R, TILE>(a, b + column, P, out + column);
    for (; column < P; column += LANES) product_tile<U, K, R, 1>(a, b + column, P, out + column);
}
// out (R, D) = sum over m of a[row * across + m * along] b (m, D)
template <typename U, int D, int R>
void weighted_rows(const typename U::cell* a, int across, int along, const typename U::cell* b, int count, float* out) {
    vec total[R][D / LANES] = {};
    for (int m = 0; m < count; ++m)
        for (int part = 0; part < D / LANES; ++part) {
            const auto value = load_cells<U>(b + m * D + part * LANES);
            for (int row = 0; row < R; ++row) total[row][part] = U::add(total[row][part], a[row * across + m * along], value);
        }
    for (int row = 0; row < R; ++row)
        for (int part = 0; part < D / LANES; ++part) store(out + row * D + part * LANES, total[row][part]);
}
// both for N rows: in blocks of ROWS, the rest one at a time
template <typename U, int D> void product(const typename U::number* a, const typename U::cell* b, int N, int P, float* out) {
    constexpr int K = D / U::STEP;
    int row = 0;
    for (; row + ROWS <= N; row += ROWS) product_rows<U, K, ROWS>(cells_of<U>(a) + row * K, b, P, out + (size_t)row * P);
    for (; row < N; ++row) product_rows<U, K, 1>(cells_of<U>(a) + row * K, b, P, out + (size_t)row * P);
}
template <typename U, int D>
void weighted(const typename U::cell* a, int across, int along, const typename U::cell* b, int N, float* out) {
    const int count = (N + U::STEP - 1) / U::STEP;
    int row = 0;
    for (; row + ROWS <= N; row += ROWS) weighted_rows<U, D, ROWS>(a + (size_t)row * across, across, along, b, count, out + row * D);
    for (; row < N; ++row) weighted_rows<U, D, 1>(a + (size_t)row * across, across, along, b, count, out + row * D);
}

}  // namespace
