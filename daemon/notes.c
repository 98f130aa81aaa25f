/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notes.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/access.h"
#include "daemon/live.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

/*
 * A run's notes lie in the order of their numbers, and numbers are never given twice: of one that
 * is removed the number stays, so that whoever heard of it before can be told that it has gone.
 */

/* ---- keeping ---- */

static Baro__Note *copy_of(const Baro__Note *note)
{
    size_t n_bytes = baro__note__get_packed_size(note);
    baro_autofree uint8_t *packed = baro_xcalloc(n_bytes > 0 ? n_bytes : 1, 1);
    return baro__note__unpack(NULL, baro__note__pack(note, packed), packed);
}

static void save(struct bundle *bundle, const Baro__Note *note)
{
    size_t n_bytes = baro__note__get_packed_size(note);
    baro_autofree uint8_t *packed = baro_xcalloc(n_bytes > 0 ? n_bytes : 1, 1);
    (void)baro__note__pack(note, packed);
    bundle_put(bundle, STORE_NOTES, note->run, note->id, packed, n_bytes);
}

static void append(struct run *run, Baro__Note *note)
{
    run->notes = baro_xrealloc(run->notes, run->n_notes + 1, sizeof(Baro__Note *));
    run->notes[run->n_notes++] = note;
    note->id = run->n_notes;
    note->run = run->number;
}

bool notes_load(struct run *run, Baro__Note *note)
{
    if (note->id != (uint64_t)run->n_notes + 1) {
        return false;
    }
    append(run, note);
    return true;
}

void notes_inherit(struct run *run, int64_t before_step, struct bundle *bundle)
{
    const struct run *parent = run->parent;
    for (uint32_t i = 0; i < parent->n_notes; i++) {
        const Baro__Note *note = parent->notes[i];
        Baro__Note *copy =
            !note->is_removed && note->step < before_step ? copy_of(note) : NULL;
        if (copy != NULL) {
            append(run, copy);
            save(bundle, copy);
        }
    }
}

void notes_forget(struct run *run)
{
    for (uint32_t i = 0; i < run->n_notes; i++) {
        baro__note__free_unpacked(run->notes[i], NULL);
    }
    free(run->notes);
    run->notes = NULL;
    run->n_notes = 0;
}

/* ---- asking ---- */

static int check_text(
    const char *text, size_t max_bytes, const char *what, struct baro_err *err)
{
    size_t n = strnlen(text, max_bytes + 1);
    if (n > max_bytes) {
        return baro_err_set(err, BARO_ELIMIT, "%s is over %zu bytes", what, max_bytes);
    }
    if (!baro_utf8_valid(text, n)) {
        return baro_err_set(err, BARO_EINVAL, "%s is not UTF-8", what);
    }
    return 0;
}

/* A person with a key is who the key says, others are who they say. */
static void name_author(const struct barod *barod, const struct peer *peer,
    const char *said, char out[NOTES_AUTHOR_BYTES + 1])
{
    static const char before[] = "the key '";
    char who[KEYS_NAME_BYTES + 16];
    if (peer->origin == PEER_KEYED) {
        access_name(barod->access, peer, who, sizeof who);
        size_t n = strlen(who);
        if (strncmp(who, before, sizeof before - 1) == 0 && n > sizeof before) {
            who[n - 1] = '\0';
            said = who + sizeof before - 1;
        }
    }
    size_t n = baro_utf8_prefix(said, strlen(said), NOTES_AUTHOR_BYTES);
    memcpy(out, said, n);
    out[n] = '\0';
}

static int add(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__Note *wanted, struct baro_err *err)
{
    char author[NOTES_AUTHOR_BYTES + 1];
    int rc = check_text(wanted->text, NOTES_TEXT_BYTES, "the note", err);
    rc = rc == 0 ? check_text(wanted->author, NOTES_AUTHOR_BYTES, "the author's name", err)
                 : rc;
    if (rc != 0) {
        return rc;
    }
    if (run->n_notes >= NOTES_MAX) {
        return baro_err_set(
            err, BARO_ELIMIT, "the run has had %d notes: no more are taken", NOTES_MAX);
    }
    name_author(barod, peer, wanted->author, author);
    Baro__Note note;
    baro__note__init(&note);
    note.step = wanted->step;
    note.time_ns = baro_wall_ns();
    note.author = author;
    note.text = wanted->text;
    Baro__Note *kept = copy_of(&note);
    if (kept == NULL) {
        return baro_err_set(err, BARO_ENOMEM, "no memory for the note");
    }
    append(run, kept);
    return 0;
}

static void set_text(char **text)
{
    free(*text);
    *text = baro_xstrdup("");
}

static int take_away(struct run *run, uint64_t id, struct baro_err *err)
{
    if (id > run->n_notes || run->notes[id - 1]->is_removed) {
        return baro_err_set(err, BARO_ENOENT,
            "the run has no note %" PRIu64 "; 'baro note RUN' lists them", id);
    }
    Baro__Note *note = run->notes[id - 1];
    note->is_removed = true;
    set_text(&note->text);
    set_text(&note->author);
    return 0;
}

int notes_on_request(struct barod *barod, const struct peer *peer, struct run *run,
    const Baro__NoteRequest *request, uint64_t *out_id, struct baro_err *err)
{
    *out_id = 0;
    if (request->add == NULL && request->remove == 0) {
        return 0;
    }
    if (request->add != NULL && request->remove != 0) {
        return baro_err_set(err, BARO_EINVAL, "one note at a time");
    }
    int rc = request->add != NULL ? add(barod, peer, run, request->add, err)
                                  : take_away(run, request->remove, err);
    if (rc != 0) {
        return rc;
    }
    uint64_t id = request->remove != 0 ? request->remove : run->n_notes;
    const Baro__Note *note = run->notes[id - 1];
    save(barod->open, note);
    barod_open_bundle(barod);
    live_note(barod, note);
    *out_id = request->add != NULL ? id : 0;
    return 0;
}

static int compare_notes(const void *a, const void *b)
{
    const Baro__Note *x = *(Baro__Note *const *)a;
    const Baro__Note *y = *(Baro__Note *const *)b;
    if (x->step != y->step) {
        return x->step < y->step ? -1 : 1;
    }
    return x->id < y->id ? -1 : 1;
}

size_t notes_list(const struct run *run, Baro__Note **out)
{
    size_t n = 0;
    for (uint32_t i = 0; i < run->n_notes; i++) {
        if (!run->notes[i]->is_removed) {
            out[n++] = run->notes[i];
        }
    }
    if (n > 0) {
        qsort(out, n, sizeof(Baro__Note *), compare_notes);
    }
    return n;
}
