/* SPDX-License-Identifier: Apache-2.0 */
/* People's notes on a run: asking for them, and telling them to programs. */
#ifndef BARO_TOOLS_NOTES_H
#define BARO_TOOLS_NOTES_H

#include <jansson.h>

#include "lib/link/link.h"
#include "tools/cli.h"

/**
 * Ask for the notes of a run, after adding or removing one.
 *
 * add        to be added; NULL: none
 * remove     id of one to be removed; 0: none
 * out_reply  release with link_message_release
 * returns    NULL after saying why
 */
const Baro__NotesReply *notes_ask(struct cli *cli, uint32_t run, Baro__Note *add,
    uint64_t remove, struct link_message *out_reply);

/** Make the JSON object of a note; a new reference. */
json_t *note_to_json(const Baro__Note *note);

#endif
