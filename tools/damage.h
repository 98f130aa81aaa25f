/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What could not be read, in words: which series, which steps. A reply with readings only says
 * that some are damaged; then the daemon is asked to check that series by itself.
 */
#ifndef BARO_TOOLS_DAMAGE_H
#define BARO_TOOLS_DAMAGE_H

#include "lib/base/reading.h"
#include "tools/cli.h"
#include "tools/series.h"

enum { DAMAGE_SENTENCE_BYTES = 1024 };

/* Sentences without an end stop. Zeroed at first; release with damage_finish. */
struct damage {
    char (*sentences)[DAMAGE_SENTENCE_BYTES];
    size_t n;
};

/* The readings of which some are damaged. */
struct damage_of {
    const Baro__RunInfo *run;
    const Baro__ThingInfo *thing; /* NULL: of the run itself */
    enum reading_kind kind;
    int64_t from; /* only damage of these steps is told, where its steps are known */
    int64_t to;
    const char *said; /* what the reply said: told when nothing is found any more */
};

/**
 * Add a sentence for each damaged stretch of some readings; none is added twice, and none when all
 * damage lies at other steps.
 *
 * returns  CLI_OK; CLI_FAILED after saying why the daemon could not be asked
 */
int damage_ask(struct cli *cli, const struct damage_of *of, struct damage *damage);

/** Print all sentences on standard error, the first of them if there are very many. */
void damage_print(const struct damage *damage);

/** Release. */
void damage_finish(struct damage *damage);

#endif
