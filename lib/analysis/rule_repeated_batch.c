/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/analysis/rule_parts.h"
#include "lib/analysis/rule_table.h"
#include "lib/base/mem.h"

/*
 * Does the training get the same samples again, too soon? A batch is known by the sum of the mixed
 * numbers of its samples, whatever their order; those of the last 4096 batches are remembered.
 *
 * A whole batch comes again for a good reason when the data are gone through in the same order each
 * epoch: then the very first batch is the first to come again, and all others follow at that same
 * distance, the length of an epoch (1 when the batch is the whole data set). Anything else is a
 * stuck loader, or one that began anew after a restart: told when the batch
 *
 *   is the one of the step before (and the ones before were not all the same), or
 *   is an older one, not at the distance of an epoch, and so was the one before it
 *
 * Batches of less than 8 samples come again by chance; of them only those that come twice in a row,
 * twice, are told.
 *
 * Worked: batches A B C D E E: the second E is told. A B C A B C A ...: an epoch is 3 batches: quiet.
 * A B C D C D: the second D is told, the second C was its first sign.
 *
 * Known failure: an epoch longer than 4096 batches in the same order each time is not recognised,
 * nor is it an error; a repeated part of a batch is not seen.
 */

enum { MIN_BATCH };

static const struct rule_param params[] = {
    {"min_batch", 8, 2, 4096,
        "samples that a batch has, to be told when it comes again later"},
};

enum { SAME = 1, OLDER };
enum { N_REMEMBERED = 4096, N_PLACES = 16384, N_DISTINCT = 4 };

struct memory {
    uint64_t ring[N_REMEMBERED]; /* hashes, of batch n at n % N_REMEMBERED */
    uint32_t places[N_PLACES];   /* n + 1 of the newest batch of such a hash; 0: none */
    uint32_t n;
    uint32_t epoch;      /* batches; 0: not known */
    uint32_t n_repeated; /* in a row, at a distance that is no epoch */
    uint32_t n_same;     /* like the one before, in a row */
    uint32_t n_fresh;    /* not seen before, in a row, lately */
    bool is_told;
};

static bool applies(const struct judge_thing *thing)
{
    return thing->id == 0;
}

static uint64_t mix(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static uint64_t hash_of(const struct reading *reading, size_t *out_n)
{
    const int64_t *samples = (const int64_t *)(const void *)reading->extra;
    size_t n = reading->extra_bytes / sizeof *samples;
    uint64_t hash = mix(n + 1);
    for (size_t i = 0; i < n; i++) {
        hash += mix((uint64_t)samples[i] + UINT64_C(0x9e3779b97f4a7c15));
    }
    *out_n = n;
    return hash;
}

/* Remember a batch; how many batches ago it came last, 0: not within memory. */
static uint32_t remember(struct memory *memory, uint64_t hash)
{
    uint32_t distance = 0;
    uint32_t *place = &memory->places[mix(hash) % N_PLACES];
    if (*place > 0) {
        uint32_t last = *place - 1;
        bool is_there =
            memory->n - last <= N_REMEMBERED && memory->ring[last % N_REMEMBERED] == hash;
        distance = is_there ? memory->n - last : 0;
    }
    memory->ring[memory->n % N_REMEMBERED] = hash;
    *place = memory->n + 1;
    memory->n++;
    return distance;
}

/* Whether a batch that came `distance` batches ago comes again for a good reason. */
static bool is_epoch(struct memory *memory, uint32_t distance)
{
    uint32_t at = memory->n - 1;
    if (memory->epoch == 0 && distance == at) {
        memory->epoch = distance; /* the very first one is the first to come again */
    }
    return memory->epoch > 0 && distance % memory->epoch == 0;
}

static void on_reading(
    struct rule_context *context, void *state, const struct reading *reading)
{
    struct memory *memory = state;
    size_t n_samples = 0;
    uint64_t hash = hash_of(reading, &n_samples);
    if (n_samples < 2 || memory->n >= UINT32_MAX - 1) {
        return;
    }
    uint32_t distance = remember(memory, hash);
    if (distance == 0 || is_epoch(memory, distance)) {
        memory->n_fresh += memory->n_fresh < UINT32_MAX ? 1 : 0;
        memory->is_told &= memory->n_fresh < N_REMEMBERED;
        memory->n_repeated = 0;
        memory->n_same = 0;
        return;
    }
    bool is_large = (double)n_samples >= context->params[MIN_BATCH];
    memory->n_same = distance == 1 ? memory->n_same + 1 : 0;
    memory->n_repeated++;
    bool was_fresh = memory->n_fresh >= N_DISTINCT;
    bool is_same = memory->n_same >= (is_large ? 1 : 2);
    bool is_found = is_same || (is_large && memory->n_repeated >= 2);
    if (is_found && was_fresh && !memory->is_told) {
        memory->is_told = true;
        memory->n_fresh = 0;
        rule_note_value(
            context, is_same ? SAME : OLDER, distance, memory->epoch, memory->n_repeated);
    }
}

static void tell(struct rule_context *context, const struct rule_fact *fact,
    struct judge_finding *finding)
{
    (void)context;
    if (fact->code == SAME) {
        rule_say(finding, "The batch of step %lld is the one of the step before, again",
            (long long)fact->step);
    } else {
        rule_say(finding, "The batch of step %lld came %.0f batches before already",
            (long long)fact->step, fact->value);
    }
    if (fact->usual > 0) {
        rule_say_more(finding, ", though an epoch has %.0f", fact->usual);
    }
    if (finding->n_samples > 0) {
        rule_say_more(finding, ": samples %lld%s.", (long long)finding->samples[0],
            finding->n_samples > 1 ? " and more" : "");
    } else {
        rule_say_more(finding, ".");
    }
    finding->advice =
        "The loss looks better than it is while samples repeat. Look at the sampler: whether it "
        "is shuffled anew, knows its place after a restart, and is not read by two.";
    rule_blame(finding, JUDGE_CAUSE_DATA_ORDER);
    rule_blame(finding, JUDGE_CAUSE_INPUT_PIPELINE);
}

const struct rule rule_repeated_batch = {
    .name = "repeated_batch",
    .sentence = "The same samples come again too soon.",
    .params = params,
    .n_params = BARO_LEN(params),
    .level = BARO_WATCH,
    .kinds = RULE_KIND(READING_BATCH),
    .excuses = JUDGE_CHANGE_EVENT,
    .state_bytes = sizeof(struct memory),
    .applies = applies,
    .on_reading = on_reading,
    .tell = tell,
};
