// GELU by the error function, x Φ(x).
#pragma once
#include "vectors.hpp"

namespace {

struct Normal { vec below, density; };  // Φ(x) and φ(x)

// By Abramowitz and Stegun 7.1.26, good to 1.5e-7; its e^(-x²/2) serves the derivative Φ(x) + x φ(x) as well.
inline Normal normal(vec x) {
    const vec z = (vec)((ivec)x & 0x7fffffff) * 0.70710678118654752f;
    const vec t = 1.0f / (1.0f + 0.3275911f * z);
    const vec e = exponential(-z * z);
    vec p = t * 1.061405429f - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const vec beyond = 0.5f * p * t * e;  // Φ(-|x|)
    return {x < 0 ? beyond : 1.0f - beyond, e * 0.39894228040143268f};
}

#if defined(__AVX512F__)

// x Φ(x) = max(x, 0) - z Φ(-z) with z = |x|. The second is a bump, cut into as many pieces as a vector looks up at once; each is the
// polynomial of degree five through the bump at its Chebyshev points, or, where it has to vanish with x, at even steps. Good to 1e-7.
constexpr int PIECES = 16, POINTS = 6;
constexpr float PIECE = 0.35f;  // beyond sixteen of these the bump is below 6e-8

struct Bump {
    alignas(64) float terms[POINTS][PIECES];  // coefficients by power of z / PIECE less the piece's number
    Bump() {
        for (int piece = 0; piece < PIECES; ++piece) {
            double at[POINTS], slope[POINTS], term[POINTS] = {};
            for (int n = 0; n < POINTS; ++n) {
                at[n] = piece ? 0.5 - 0.5 * std::cos((n + 0.5) * M_PI / POINTS) : n / (POINTS - 1.0);
                const double z = (piece + at[n]) * PIECE;
                slope[n] = z * 0.5 * std::erfc(z * M_SQRT1_2);
            }
            for (int order = 1; order < POINTS; ++order)  // Newton's divided differences
                for (int n = POINTS - 1; n >= order; --n) slope[n] = (slope[n] - slope[n - 1]) / (at[n] - at[n - order]);
            for (int n = POINTS - 1; n >= 0; --n) {  // (… (slope₅ (t - at₄) + slope₄) (t - at₃) + …), multiplied out
                for (int power = POINTS - 1; power > 0; --power) term[power] = term[power - 1] - at[n] * term[power];
                term[0] = slope[n] - at[n] * term[0];
            }
            for (int power = 0; power < POINTS; ++power) terms[power][piece] = (float)term[power];
        }
    }
};
const Bump BUMP;

inline vec gelu(vec x) {
    const vec scaled = (vec)((ivec)x & 0x7fffffff) * (1 / PIECE);
    const vec z = (vec)_mm512_min_ps(_mm512_set1_ps(PIECES - 1e-5f), (__m512)scaled);  // in this order a NaN stays one
    const __m512i piece = _mm512_cvttps_epi32((__m512)z);
    const vec t = z - (vec)_mm512_cvtepi32_ps(piece);
    vec bump = {};
#pragma GCC unroll 8
    for (int power = POINTS - 1; power >= 0; --power) bump = bump * t + (vec)_mm512_permutexvar_ps(piece, _mm512_load_ps(BUMP.terms[power]));
    return (vec)_mm512_max_ps((__m512)x, _mm512_setzero_ps()) - bump;
}

#else

inline vec gelu(vec x) { return x * normal(x).below; }

#endif

}  // namespace
