/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Whether what came can be read. Looks at bytes alone and changes nothing, so
 * that it is also built, and tried with whatever bytes there are, outside a
 * kernel.
 */
#ifndef _LUO_CHECK_H
#define _LUO_CHECK_H

#ifndef __KERNEL__
#include <stdbool.h>
#endif

#include "luo_abi.h"

/**
 * struct luo_check - what the checks must know of the machine
 * @at: the bytes at a physical address, or NULL if not all of @len bytes there
 *	can be read
 * @is_memory: are @len bytes at a physical address memory? @len is a power of 2,
 *	and the address a multiple of it
 * @crc: CRC-32C (Castagnoli) of some bytes, going on from another
 * @max_order: the largest folio has LUO_SER_PAGE << max_order bytes
 */
struct luo_check {
	const void *(*at)(__u64 phys, __u64 len);
	bool (*is_memory)(__u64 phys, __u64 len);
	__u32 (*crc)(__u32 crc, const void *bytes, __u64 len);
	unsigned int max_order;
};

const char *luo_check_root(const struct luo_check *c, const void *bytes,
			   __u64 len);
const char *luo_check_records(const struct luo_check *c,
			      const struct luo_ser_root *root);
const char *luo_check_file(const struct luo_check *c, const void *bytes,
			   __u64 len);
const char *luo_check_memfd(const struct luo_check *c, const void *bytes,
			    __u64 len);
const char *luo_check_pci(const struct luo_check *c, __u64 phys);

__u32 luo_page_crc(const struct luo_check *c, const struct luo_ser_page *page,
		   __u32 entry_size);
__u32 luo_root_crc(const struct luo_check *c, const struct luo_ser_root *root);
__u32 luo_file_crc(const struct luo_check *c, const struct luo_ser_file *file);
__u32 luo_pci_crc(const struct luo_check *c, const struct luo_ser_pci *pci);

#endif /* _LUO_CHECK_H */
