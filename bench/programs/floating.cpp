// Floating point: the product of two matrices, in scalar double precision, and in packed single precision
// with SSE2 and with AVX2.
#include <immintrin.h>

#include "row.h"

namespace {

constexpr int kSize = 64;
// Numbers whose products are rounded, as in most programs: emulators are slow where they have to find out
// first.
template <typename Real>
struct Matrices {
  alignas(32) Real a[kSize][kSize], b[kSize][kSize], product[kSize][kSize];

  Matrices() {
    for (int i = 0; i < kSize; ++i) {
      for (int j = 0; j < kSize; ++j) {
        a[i][j] = static_cast<Real>((i * 7 + j * 3) % 19 - 9) / 17;
        b[i][j] = static_cast<Real>((i * 5 + j * 11) % 23 - 11) / 23;
      }
    }
  }

  // Every round's product becomes part of the next round's factor, so that none can be left out.
  void next(uint64_t round) {
    a[round % kSize][round / kSize % kSize] += product[round % 7][round % 5] / 4096;
  }

  uint64_t sum() const {
    uint64_t result = 0;
    for (const auto& row : product) {
      for (Real element : row) result = bench::mix(result, bench::bits(element));
    }
    return result;
  }
};

Matrices<double> doubles;
Matrices<float> floats;

[[gnu::noinline]] void scalar_product(Matrices<double>& m) {
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; j += 4) {
      double sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
      for (int k = 0; k < kSize; ++k) {
        const double factor = m.a[i][k];
        // The compiler shall not join these to packed operations.
        sum0 += factor * m.b[k][j];
        asm("" : "+x"(sum0));
        sum1 += factor * m.b[k][j + 1];
        asm("" : "+x"(sum1));
        sum2 += factor * m.b[k][j + 2];
        asm("" : "+x"(sum2));
        sum3 += factor * m.b[k][j + 3];
        asm("" : "+x"(sum3));
      }
      m.product[i][j] = sum0;
      m.product[i][j + 1] = sum1;
      m.product[i][j + 2] = sum2;
      m.product[i][j + 3] = sum3;
    }
  }
}

[[gnu::noinline]] void sse_product(Matrices<float>& m) {
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; j += 16) {
      __m128 sums[4] = {};
      for (int k = 0; k < kSize; ++k) {
        const __m128 factor = _mm_set1_ps(m.a[i][k]);
        for (int n = 0; n < 4; ++n)
          sums[n] = _mm_add_ps(sums[n], _mm_mul_ps(factor, _mm_load_ps(&m.b[k][j + 4 * n])));
      }
      for (int n = 0; n < 4; ++n) _mm_store_ps(&m.product[i][j + 4 * n], sums[n]);
    }
  }
}

[[gnu::noinline, gnu::target("avx2")]] void avx_product(Matrices<float>& m) {
  for (int i = 0; i < kSize; ++i) {
    for (int j = 0; j < kSize; j += 32) {
      __m256 sums[4] = {};
      for (int k = 0; k < kSize; ++k) {
        const __m256 factor = _mm256_broadcast_ss(&m.a[i][k]);
        for (int n = 0; n < 4; ++n)
          sums[n] = _mm256_add_ps(sums[n], _mm256_mul_ps(factor, _mm256_load_ps(&m.b[k][j + 8 * n])));
      }
      for (int n = 0; n < 4; ++n) _mm256_store_ps(&m.product[i][j + 8 * n], sums[n]);
    }
  }
}

template <typename Real, void (*product)(Matrices<Real>&)>
uint64_t run(Matrices<Real>& matrices, uint64_t rounds) {
  for (uint64_t round = 0; round < rounds; ++round) {
    product(matrices);
    matrices.next(round);
  }
  return matrices.sum();
}

}  // namespace

int main(int argc, char** argv) {
  const bench::Rows rows(argc, argv);
  constexpr double kMegaflop = 2.0 * kSize * kSize * kSize / 1e6;
  rows.rate("scalar-sse2", "Mflop/s", kMegaflop, 20, 0xf853e1afda26c24d,
            [](uint64_t rounds) { return run<double, scalar_product>(doubles, rounds); });
  rows.rate("packed-sse2", "Mflop/s", kMegaflop, 20, 0xa5a2cddf5f61a0d1,
            [](uint64_t rounds) { return run<float, sse_product>(floats, rounds); });
  if (!__builtin_cpu_supports("avx2")) {
    rows.absent("packed-avx2", "no AVX2");
    return 0;
  }
  // The same operations in the same order for each element: the same sum.
  floats = {};
  rows.rate("packed-avx2", "Mflop/s", kMegaflop, 20, 0xa5a2cddf5f61a0d1,
            [](uint64_t rounds) { return run<float, avx_product>(floats, rounds); });
}
