/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/reading_words.h"
#include "tools/ask.h"

enum { DAMAGE_TIMEOUT_MS = 60000, MAX_PRINTED = 40 };

static void add(struct damage *damage, const char *sentence)
{
    for (size_t i = 0; i < damage->n; i++) {
        if (strcmp(damage->sentences[i], sentence) == 0) {
            return;
        }
    }
    damage->sentences =
        baro_xrealloc(damage->sentences, damage->n + 1, sizeof *damage->sentences);
    (void)snprintf(damage->sentences[damage->n++], DAMAGE_SENTENCE_BYTES, "%s", sentence);
}

/* "'fc1.weight:grad@1', statistics of units". */
static void name_readings(const struct damage_of *of, char *out, size_t out_bytes)
{
    char label[SERIES_LABEL_BYTES];
    char rank[16] = "";
    if (of->thing == NULL || thing_is_run(of->thing)) {
        (void)snprintf(out, out_bytes, "%s", reading_kind_words(of->kind));
        return;
    }
    if (of->thing->rank > 0) {
        (void)snprintf(rank, sizeof rank, "@%u", of->thing->rank);
    }
    (void)snprintf(out, out_bytes, "'%s%s', %s", thing_epoch_label(of->thing, label), rank,
        reading_kind_words(of->kind));
}

/* Add one damage as the daemon tells it, if it concerns the steps asked for. */
static void add_told(
    const struct damage_of *of, const Baro__VerifyDamage *told, struct damage *damage)
{
    char sentence[DAMAGE_SENTENCE_BYTES];
    char name[SERIES_LABEL_BYTES + 64];
    if (told->has_steps && (told->to_step < of->from || told->from_step > of->to)) {
        return;
    }
    if (told->kind == 0) { /* of several series: nobody knows which */
        (void)snprintf(sentence, sizeof sentence, "run '%.200s': %s, of whichever series",
            of->run->description->run_id, told->text);
    } else {
        name_readings(of, name, sizeof name);
        (void)snprintf(sentence, sizeof sentence, "%s: %s", name, told->text);
    }
    add(damage, sentence);
}

/* Ask for one part of the check; *io_cursor becomes that of the next, empty at the end. */
static int ask_part(struct cli *cli, const struct damage_of *of,
    ProtobufCBinaryData *io_cursor, struct damage *damage, bool *io_is_found)
{
    struct link_message reply;
    Baro__VerifyRequest body = BARO__VERIFY_REQUEST__INIT;
    Baro__Envelope request = BARO__ENVELOPE__INIT;
    body.cursor = *io_cursor;
    body.run = of->run->run;
    body.thing = of->thing != NULL ? of->thing->thing : 0;
    body.kind = of->kind;
    request.body_case = BARO__ENVELOPE__BODY_VERIFY_REQUEST;
    request.verify_request = &body;
    const struct ask ask = {.request = &request,
        .wanted = BARO__ENVELOPE__BODY_VERIFY_REPLY,
        .what = "what it checked",
        .timeout_ms = DAMAGE_TIMEOUT_MS};
    const int rc = ask_for(cli, &ask, &reply);
    free(io_cursor->data);
    *io_cursor = (ProtobufCBinaryData){0};
    if (rc != CLI_OK) {
        return rc;
    }
    const Baro__VerifyReply *part = reply.wire.envelope->verify_reply;
    for (size_t i = 0; i < part->n_damages; i++) {
        add_told(of, part->damages[i], damage);
        *io_is_found = true;
    }
    if (part->cursor.len > 0) {
        io_cursor->len = part->cursor.len;
        io_cursor->data = baro_xcalloc(part->cursor.len, 1);
        memcpy(io_cursor->data, part->cursor.data, part->cursor.len);
    }
    link_message_release(&reply);
    return CLI_OK;
}

int damage_ask(struct cli *cli, const struct damage_of *of, struct damage *damage)
{
    ProtobufCBinaryData cursor = {0};
    bool is_found = false;
    int rc = CLI_OK;
    do {
        rc = ask_part(cli, of, &cursor, damage, &is_found);
    } while (rc == CLI_OK && cursor.len > 0);
    free(cursor.data);
    if (rc == CLI_OK && !is_found) {
        char sentence[DAMAGE_SENTENCE_BYTES];
        char name[SERIES_LABEL_BYTES + 64];
        name_readings(of, name, sizeof name);
        (void)snprintf(
            sentence, sizeof sentence, "%s: some cannot be read: %s", name, of->said);
        add(damage, sentence);
    }
    return rc;
}

void damage_print(const struct damage *damage)
{
    for (size_t i = 0; i < damage->n && i < MAX_PRINTED; i++) {
        (void)cli_fail("%s", damage->sentences[i]);
    }
    if (damage->n > MAX_PRINTED) {
        (void)cli_fail(
            "and %zu more such: 'baro verify' names all", damage->n - MAX_PRINTED);
    }
}

void damage_finish(struct damage *damage)
{
    free(damage->sentences);
    *damage = (struct damage){0};
}
