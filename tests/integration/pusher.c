/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training that does what its standard input says, for tests of the command line:
 *
 *     pusher PROJECT NAME ENDPOINT RING_DIR MODE RUN_ID RANK N_RANKS
 *
 * prints "run ID RING" and then obeys lines of words with tabs between them:
 *
 *     step N | scalar NAME VALUE | tensor NAME ROLE ROWS VALUES... | batch SAMPLES... |
 *     event TEXT | fail TEXT | sync (prints "ok") | close (prints the code and ends) |
 *     probe REASON SCALE (of a small network; probe_network.h) |
 *     noise FIRST END N SEED (steps FIRST to END - 1, each with random series0 to seriesN-1)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/push/baro.h"
#include "tests/integration/probe_network.h"

enum { MAX_WORDS = 8192, MAX_LINE = 1 << 18 };

static int64_t integer(const char *text)
{
    return strtoll(text, NULL, 10);
}

static void push_tensor(struct baro_run *run, char **words, int n_words)
{
    static float values[MAX_WORDS];
    int64_t n_rows = integer(words[3]);
    int n_values = n_words - 4;
    for (int i = 0; i < n_values; i++) {
        values[i] = strtof(words[4 + i], NULL);
    }
    const int64_t shape[2] = {n_rows, n_rows > 0 ? n_values / n_rows : 0};
    const struct baro_tensor tensor = {
        .name = words[1],
        .role = (enum baro_role)integer(words[2]),
        .dtype = BARO_F32,
        .n_dims = 2,
        .shape = shape,
        .data = values,
        .unit_axis = 0,
    };
    if (baro_tensor(run, &tensor) != 0) {
        (void)fprintf(stderr, "pusher: tensor '%s' was refused\n", words[1]);
        exit(1);
    }
}

static void push_batch(struct baro_run *run, char **words, int n_words)
{
    static int64_t samples[MAX_WORDS];
    for (int i = 1; i < n_words; i++) {
        samples[i - 1] = integer(words[i]);
    }
    (void)baro_batch(run, samples, (size_t)(n_words - 1));
}

/* Numbers in [0, 1) that no codec can make small. */
static double next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = *state;
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((x ^ (x >> 31)) >> 11) * 0x1p-53;
}

static void push_noise(struct baro_run *run, char **words)
{
    uint64_t state = (uint64_t)integer(words[4]);
    for (int64_t step = integer(words[1]); step < integer(words[2]); step++) {
        (void)baro_step(run, step);
        for (int64_t k = 0; k < integer(words[3]); k++) {
            char name[32];
            (void)snprintf(name, sizeof name, "series%lld", (long long)k);
            (void)baro_scalar(run, name, next_random(&state));
        }
    }
}

/* Do what one line says; returns 0 when it was the last. */
static int obey(struct baro_run *run, char **words, int n_words)
{
    const char *word = words[0];
    if (strcmp(word, "step") == 0 && n_words == 2) {
        (void)baro_step(run, integer(words[1]));
    } else if (strcmp(word, "scalar") == 0 && n_words == 3) {
        (void)baro_scalar(run, words[1], strtod(words[2], NULL));
    } else if (strcmp(word, "tensor") == 0 && n_words > 4) {
        push_tensor(run, words, n_words);
    } else if (strcmp(word, "noise") == 0 && n_words == 5) {
        push_noise(run, words);
    } else if (strcmp(word, "probe") == 0 && n_words == 3) {
        (void)push_network(run, -1, (int)integer(words[1]), strtod(words[2], NULL));
    } else if (strcmp(word, "batch") == 0) {
        push_batch(run, words, n_words);
    } else if (strcmp(word, "event") == 0 && n_words == 2) {
        (void)baro_event(run, BARO_WATCH, words[1]);
    } else if (strcmp(word, "fail") == 0 && n_words == 2) {
        (void)baro_fail(run, words[1]);
    } else if (strcmp(word, "sync") == 0) {
        (void)printf("ok\n");
    } else if (strcmp(word, "close") == 0 && n_words == 2) {
        (void)printf("%d\n", baro_close(run, (int)integer(words[1])));
        return 0;
    } else {
        (void)fprintf(stderr, "pusher: '%s' is not understood\n", word);
        exit(1);
    }
    return 1;
}

int main(int argc, char **argv)
{
    static char line[MAX_LINE];
    static char *words[MAX_WORDS];
    if (argc != 9) {
        return 2;
    }
    struct baro_err err = {0};
    const struct baro_options options = {
        .project = argv[1],
        .name = argv[2],
        .endpoint = argv[3],
        .ring_dir = argv[4],
        .mode = argv[5],
        .run_id = argv[6][0] != '\0' ? argv[6] : NULL,
        .rank = atoi(argv[7]),
        .n_ranks = atoi(argv[8]),
        .config = "{\"lr\": 0.001}",
        .ring_bytes = 4 << 20,
    };
    struct baro_run *run = baro_open(&options, &err);
    if (run == NULL) {
        (void)fprintf(stderr, "pusher: %s\n", err.text);
        return 1;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)printf("run %s %s\n", baro_run_id(run), baro_ring_path(run));
    while (fgets(line, sizeof line, stdin) != NULL) {
        int n_words = 0;
        line[strcspn(line, "\n")] = '\0';
        for (char *rest = line, *word;
             n_words < MAX_WORDS && (word = strsep(&rest, "\t"));) {
            words[n_words++] = word;
        }
        if (!obey(run, words, n_words)) {
            return 0;
        }
    }
    (void)baro_close(run, 0);
    return 0;
}
