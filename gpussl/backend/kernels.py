"""CUDA sources for work that would take CuPy thousands of small kernels. `gpu` compiles them."""

MAX_POINTS, MAX_TRIALS = 8192, 16  # limits of `GREEDY_SEEDS`: the registers of one block hold no more

# Greedy k-means++ over a table of squared distances: the loop of `gpussl.backend.seeding`. Each seed depends on those
# before it, so a single block of threads runs all steps; each thread keeps up to eight consecutive points in registers.
GREEDY_SEEDS = r"""
#define WARPS 32
#define POINTS 8
#define TRIALS 16

__device__ double sum_of_warp(double x) {
    for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

__device__ double scan_of_warp(double x) {
    for (int step = 1; step < 32; step *= 2) {
        double before = __shfl_up_sync(0xffffffffu, x, step);
        if ((threadIdx.x & 31) >= step) x += before;
    }
    return x;
}

extern "C" __global__ void __launch_bounds__(1024, 1) greedy_seeds(
    const float* table, const float* weights, const double* draws, long long* chosen, int m, int n_clusters,
    int n_trials) {
    __shared__ double masses[WARPS], sums[WARPS][TRIALS], scores[TRIALS];
    __shared__ int trials[TRIALS];
    const int lane = threadIdx.x & 31, warp = threadIdx.x / 32;
    const int per_thread = (m + 1023) / 1024, first = threadIdx.x * per_thread;
    float weight[POINTS], distance[POINTS];
    bool is_point[POINTS];
    for (int e = 0; e < POINTS; ++e) {
        is_point[e] = e < per_thread && first + e < m;
        weight[e] = is_point[e] ? weights[first + e] : 0.0f;
        distance[e] = 1.0f;  // the first is drawn by weight alone
    }
    for (int step = 0; step < n_clusters; ++step) {
        double own = 0;
        for (int e = 0; e < POINTS; ++e) own += (double)(distance[e] * weight[e]);
        double upto = scan_of_warp(own);
        if (lane == 31) masses[warp] = upto;
        if (threadIdx.x < n_trials) trials[threadIdx.x] = m - 1;
        __syncthreads();
        if (warp == 0) masses[lane] = scan_of_warp(masses[lane]);
        __syncthreads();
        const double before_warp = warp ? masses[warp - 1] : 0;
        const double previous = __shfl_up_sync(0xffffffffu, upto, 1);
        const double lower = lane ? before_warp + previous : before_warp;
        const double upper = lane == 31 ? masses[warp] : before_warp + upto;
        for (int j = 0; j < n_trials; ++j) {
            const double drawn = draws[(long long)step * n_trials + j] * masses[WARPS - 1];
            if ((drawn > lower || threadIdx.x == 0) && drawn <= upper) {
                double mass = lower;
                int found = first;
                for (int e = 0; e < POINTS; ++e) {
                    const double more = (double)(distance[e] * weight[e]);
                    if (e > 0 && mass < drawn && more > 0) found = first + e;
                    mass += more;
                }
                trials[j] = min(found, m - 1);
            }
        }
        __syncthreads();
        for (int j = 0; j < n_trials; ++j) {
            const float* row = table + (long long)trials[j] * m;
            double sum = 0;
            for (int e = 0; e < POINTS; ++e) {
                if (is_point[e]) {
                    const float to_trial = row[first + e];
                    sum += (double)((step ? fminf(to_trial, distance[e]) : to_trial) * weight[e]);
                }
            }
            sum = sum_of_warp(sum);
            if (lane == 0) sums[warp][j] = sum;
        }
        __syncthreads();
        if (warp < n_trials) {
            const double score = sum_of_warp(sums[lane][warp]);
            if (lane == 0) scores[warp] = score;
        }
        __syncthreads();
        int best = 0;
        for (int j = 1; j < n_trials; ++j) if (scores[j] < scores[best]) best = j;
        const float* row = table + (long long)trials[best] * m;
        for (int e = 0; e < POINTS; ++e) {
            if (is_point[e]) {
                const float to_best = row[first + e];
                distance[e] = step ? fminf(to_best, distance[e]) : to_best;
            }
        }
        if (threadIdx.x == 0) chosen[step] = trials[best];
        __syncthreads();
    }
}
"""
