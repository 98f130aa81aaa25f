/* SPDX-License-Identifier: Apache-2.0 */
/* baro-view: watch a run in a window, or write a page of it as a picture. */
#include "client/app.h"
#include "client/screenshot.h"

int main(int argc, char **argv)
{
    struct options options;
    int status = options_parse(argc, argv, &options);
    if (status >= 0) {
        return status;
    }
    return options.screenshot != NULL ? screenshot_run(&options) : app_run(&options);
}
