/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the daemon for one kind of answer, and saying what is wrong where it gives another. */
#ifndef BARO_TOOLS_ASK_H
#define BARO_TOOLS_ASK_H

#include "lib/link/link.h"
#include "tools/cli.h"

/* A question. */
struct ask {
    Baro__Envelope *request;
    Baro__Envelope__BodyCase wanted; /* the answer */
    const char *what;                /* it in words, of "another answer than ..." */
    size_t n_frames;                 /* that come with it; 0: any */
    int timeout_ms;                  /* 0: CLI_TIMEOUT_MS */
};

/**
 * Ask, and take no other answer than the one that is wanted.
 *
 * out_reply  to be released after CLI_OK, empty otherwise
 * returns    CLI_OK; CLI_FAILED after saying why
 */
int ask_for(struct cli *cli, const struct ask *ask, struct link_message *out_reply);

#endif
