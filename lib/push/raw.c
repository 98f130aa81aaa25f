/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/push/raw.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/base/reading_raw.h"
#include "lib/base/tensor.h"
#include "lib/push/push.h"

/*
 * A whole tensor takes a thousand times the room of its summary, so it must not drive anything
 * else out of the ring. It goes in only while the ring is at most half full of what is not yet
 * acknowledged, and takes an eighth of it at most: with a daemon that is slow or gone the run goes
 * on as if it summarised here, and everything else fits as long as ever.
 *
 * The copy into the ring is the only one in this thread: row-major elements come from where they
 * lie. Elements that lie otherwise would have to be gathered, which takes longer than to
 * summarise them: they are.
 */

enum { RING_SHARE = 8 };

int raw_choose(
    struct baro_run *run, const struct baro_options *options, struct baro_err *err)
{
    if (options->summarise < 0 || options->summarise > BARO_SUMMARISE_DAEMON) {
        return baro_err_set(err, BARO_EINVAL, "summarise %d is none of enum baro_summarise",
            options->summarise);
    }
    int choice = options->summarise;
    if (choice == BARO_SUMMARISE_DEFAULT) {
        const char *name = run_choose(NULL, "BARO_SUMMARISE", "here");
        if (strcmp(name, "here") != 0 && strcmp(name, "daemon") != 0) {
            return baro_err_set(err, BARO_EINVAL,
                "BARO_SUMMARISE: '%.40s' is neither 'here' nor 'daemon'", name);
        }
        choice = strcmp(name, "daemon") == 0 ? BARO_SUMMARISE_DAEMON : BARO_SUMMARISE_HERE;
    }
    run->is_raw = choice == BARO_SUMMARISE_DAEMON;
    return 0;
}

void raw_close(struct baro_run *run)
{
    char text[120];
    _Atomic bool has_said = false;
    const uint64_t n = atomic_load_explicit(&run->n_here, memory_order_relaxed);
    if (n > 1) { /* one has been told */
        (void)snprintf(text, sizeof text,
            "%" PRIu64
            " tensors in all were summarised here though the daemon was to do so",
            n);
        push_tell_once(run, &has_said, text);
    }
}

static size_t bytes_of(const struct baro_span *span)
{
    return (size_t)baro_span_count(span) * baro_dtype_bytes(span->dtype);
}

static void tell(struct baro_run *run, const char *why)
{
    char text[240];
    atomic_fetch_add_explicit(&run->n_here, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&run->has_said_here, memory_order_relaxed)) {
        (void)snprintf(text, sizeof text,
            "a tensor was summarised here though the daemon was to do so: %s; how many they "
            "are is said at the end",
            why);
        push_tell_once(run, &run->has_said_here, text);
    }
}

bool raw_fits(struct baro_run *run, const struct thing *thing, const struct baro_span *span)
{
    struct ringfile_info info;
    const size_t n_bytes = bytes_of(span);
    if (ringfile_read_info(run->ring, &info) != 0) {
        return false;
    }
    const uint64_t share = info.data_bytes / RING_SHARE;
    const uint64_t limit = share < READING_RAW_MAX_BYTES ? share : READING_RAW_MAX_BYTES;
    if (n_bytes > limit) {
        char why[120];
        (void)snprintf(why, sizeof why,
            "it has %zu KiB, and with this ring at most %" PRIu64 " KiB go whole",
            (n_bytes + 1023) >> 10, limit >> 10);
        tell(run, why);
        return false;
    }
    if (info.unacked_bytes > info.data_bytes / 2) {
        tell(run, "half of the ring waits for the daemon");
        return false;
    }
    if (!baro_span_is_contiguous(span)) {
        tell(run, "its elements do not lie one after the other");
        return false;
    }
    if (thing->dtype != (uint8_t)span->dtype) {
        tell(run, "it has another element type than it was declared with");
        return false;
    }
    return true;
}

int raw_put(struct baro_run *run, uint64_t now_ns, const struct thing *thing,
    const struct baro_span *span, bool has_units)
{
    struct reading_raw_head head = {
        .dtype = (uint32_t)span->dtype,
        .n_dims = (uint32_t)span->n_dims,
        .has_units = has_units ? 1 : 0,
    };
    memcpy(head.shape, span->shape, (size_t)span->n_dims * sizeof head.shape[0]);
    const struct ringfile_part parts[2] = {
        {&head, sizeof head}, {span->data, bytes_of(span)}};
    return push_put(run, now_ns, READING_RAW, thing->id, parts, 2);
}
