/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/progress.h"

#include <inttypes.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/text.h"

enum { BAR_COLUMNS = 20, SHOW_EVERY_NS = 100000000, MIN_RATE_NS = 200000000 };

void progress_begin(
    struct progress *progress, const char *unit, uint64_t total, bool is_off)
{
    *progress = (struct progress){.unit = unit, .total = total, .is_off = is_off};
    term_init(&progress->term, stderr);
    progress->is_off |= !progress->term.is_tty;
    progress->began_ns = baro_now_ns();
    progress->shown_ns = progress->began_ns;
}

/* Write a number for people: "950", "12.3 k", "4.56 M". */
static void write_count(double count, char *out, size_t out_bytes)
{
    static const char *const suffixes[] = {"", " k", " M", " G"};
    size_t i = 0;
    while (count >= 1000 && i + 1 < sizeof suffixes / sizeof suffixes[0]) {
        count /= 1000;
        i++;
    }
    (void)snprintf(out, out_bytes, "%.3g%s", count, suffixes[i]);
}

static void write_bar(const struct progress *progress, double share, char *out, size_t n)
{
    const char *full = term_mark(&progress->term, "█", "#");
    const char *empty = term_mark(&progress->term, "░", ".");
    size_t used = 0;
    for (int i = 0; i < BAR_COLUMNS && used + 4 < n; i++) {
        const char *mark = i < (int)(share * BAR_COLUMNS) ? full : empty;
        used += (size_t)snprintf(out + used, n - used, "%s", mark);
    }
}

static void draw(
    struct progress *progress, uint64_t done, uint64_t n_bytes, uint64_t now_ns)
{
    char bar[4 * BAR_COLUMNS + 1] = "";
    char count[32];
    char size[32] = "";
    char left[48] = "";
    char line[256];
    double seconds = (double)(now_ns - progress->began_ns) / 1e9;
    double rate = (double)done / seconds;
    bool is_known = progress->total > 0 && done <= progress->total;
    double share = is_known ? (double)done / (double)progress->total : 1;
    write_bar(progress, share, bar, sizeof bar);
    write_count(rate, count, sizeof count);
    if (n_bytes > 0) {
        (void)baro_format_bytes(n_bytes, size, sizeof size);
    }
    if (is_known && done > 0 && now_ns - progress->began_ns > MIN_RATE_NS) {
        char duration[32];
        double left_ns = (double)(progress->total - done) / rate * 1e9;
        (void)snprintf(left, sizeof left, "  %s left",
            baro_format_duration((uint64_t)left_ns, duration, sizeof duration));
    }
    (void)snprintf(line, sizeof line, "%s %3d %%  %s %s/s%s%s%s", bar, (int)(100 * share),
        count, progress->unit, size[0] != '\0' ? "  " : "", size, left);
    if (term_width(line) >= progress->term.columns) {
        (void)snprintf(line, sizeof line, "%3d %%%s", (int)(100 * share), left);
    }
    (void)fprintf(stderr, "\r%s\033[K", line);
    (void)fflush(stderr);
    progress->is_shown = true;
    progress->shown_ns = now_ns;
}

void progress_tell(struct progress *progress, uint64_t done, uint64_t n_bytes)
{
    uint64_t now_ns = progress->is_off ? 0 : baro_now_ns();
    if (!progress->is_off && now_ns - progress->shown_ns >= SHOW_EVERY_NS) {
        draw(progress, done, n_bytes, now_ns);
    }
}

void progress_end(struct progress *progress)
{
    if (progress->is_shown) {
        (void)fprintf(stderr, "\r\033[K");
        (void)fflush(stderr);
    }
    *progress = (struct progress){.is_off = true};
}
