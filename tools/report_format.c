/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/report_format.h"

#include <string.h>
#include <strings.h>

int report_format_of(const struct cli *cli, enum report_format *out)
{
    const char *path = cli->values.output;
    if (path == NULL) {
        return cli_misuse("report needs -o FILE.html, FILE.png or FILE.pdf");
    }
    const char *dot = strrchr(path, '.');
    if (strcmp(path, "-") == 0 ||
        (dot != NULL && (strcasecmp(dot, ".html") == 0 || strcasecmp(dot, ".htm") == 0))) {
        *out = REPORT_HTML;
    } else if (dot != NULL && strcasecmp(dot, ".png") == 0) {
        *out = REPORT_PNG;
    } else if (dot != NULL && strcasecmp(dot, ".pdf") == 0) {
        *out = REPORT_PDF;
    } else {
        return cli_misuse("'%s': a report is .html, .png or .pdf", path);
    }
    return CLI_OK;
}
