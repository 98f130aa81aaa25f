/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people write beside a run: notes on its moments, and marks without words. They are kept as
 * alerts are, told live, and go only with their run. Ingest thread only.
 */
#ifndef BAROD_NOTES_H
#define BAROD_NOTES_H

#include "daemon/barod.h"

enum {
    NOTES_MAX = 10000,       /* of a run, removed ones, too */
    NOTES_TEXT_BYTES = 1000, /* of a note */
    NOTES_AUTHOR_BYTES = 64,
};

/**
 * Add or remove what a request asks for, if anything.
 *
 * out_id   of the note that was added, else 0
 * returns  0; BARO_EINVAL, BARO_ELIMIT, BARO_ENOENT with a sentence: nothing was changed
 */
int notes_on_request(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__NoteRequest *request, uint64_t *out_id, struct baro_err *err);

/**
 * List the notes that are there, in order of their steps.
 *
 * out      room for run->n_notes
 * returns  how many
 */
size_t notes_list(const struct run *run, Baro__Note **out);

/** Give a run a note that was stored; takes it over. false: it is not the next one. */
bool notes_load(struct run *run, Baro__Note *note);

/** Give a branch copies of the notes before its first step. */
void notes_inherit(struct run *run, int64_t before_step, struct bundle *bundle);

/** Free the notes of a run. */
void notes_forget(struct run *run);

#endif
