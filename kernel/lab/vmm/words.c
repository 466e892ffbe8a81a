// SPDX-License-Identifier: GPL-2.0
/* The last failure, in words. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm.h"

static char last[512];

const char *words(void)
{
	return last;
}

int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(last, sizeof(last), format, args);
	va_end(args);
	return -1;
}

int fail_errno(const char *format, ...)
{
	int error = errno;
	va_list args;
	size_t used;

	va_start(args, format);
	vsnprintf(last, sizeof(last), format, args);
	va_end(args);
	used = strlen(last);
	snprintf(last + used, sizeof(last) - used, ": %s", strerror(error));
	return -1;
}
