/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/link/finding.h"

#include "lib/base/err.h"

/* Give the bytes of a frame; NULL when it is empty or not there, and *ok false when it has
 * another size. */
static const void *frame_of(
    const struct link_message *message, enum finding_frame at, uint64_t n_bytes, bool *ok)
{
    if (message->n_frames <= (size_t)at || message->frames[at].n_bytes == 0) {
        return NULL;
    }
    *ok = *ok && message->frames[at].n_bytes == n_bytes;
    return message->frames[at].bytes;
}

int link_finding(
    const struct link_message *message, struct finding *out, struct baro_err *err)
{
    *out = (struct finding){0};
    const Baro__Envelope *envelope = message->wire.envelope;
    if (envelope == NULL || envelope->body_case != BARO__ENVELOPE__BODY_SAMPLE_FINDING) {
        return baro_err_set(
            err, BARO_EINVAL, "the daemon gave another answer than a sample");
    }
    const Baro__SampleFinding *head = envelope->sample_finding;
    const uint64_t n_shown = head->n_shown;
    const uint64_t n_cells = (uint64_t)head->density_width * head->density_height;
    bool ok = n_shown <= head->n_lines;
    out->head = head;
    out->shown = frame_of(message, FINDING_SHOWN, n_shown * sizeof *out->shown, &ok);
    out->reasons = frame_of(message, FINDING_REASONS, n_shown, &ok);
    out->members = frame_of(message, FINDING_MEMBERS, n_shown * sizeof *out->members, &ok);
    out->nearest = frame_of(
        message, FINDING_NEAREST, (uint64_t)head->n_lines * sizeof *out->nearest, &ok);
    out->columns = frame_of(
        message, FINDING_COLUMNS, n_shown * head->n_columns * sizeof *out->columns, &ok);
    out->density = frame_of(message, FINDING_DENSITY, n_cells, &ok);
    ok = ok && (n_shown == 0 || (out->shown != NULL && out->reasons != NULL));
    for (uint64_t i = 0; ok && i < n_shown; i++) {
        ok = out->shown[i] < head->n_lines;
    }
    for (uint64_t i = 0; ok && out->nearest != NULL && i < head->n_lines; i++) {
        ok = out->nearest[i] < n_shown || out->nearest[i] == LINK_NOBODY;
    }
    if (!ok) {
        *out = (struct finding){0};
        return baro_err_set(
            err, BARO_ECORRUPT, "the parts of a sample do not fit together");
    }
    return 0;
}
