// SPDX-License-Identifier: GPL-2.0
/* Prints the time stamp counter, which runs on through a kexec. */
#include <stdio.h>

int main(void)
{
	unsigned int lo, hi;

	__asm__ __volatile__("lfence; rdtsc" : "=a"(lo), "=d"(hi));
	printf("%llu\n", (unsigned long long)hi << 32 | lo);
	return 0;
}
