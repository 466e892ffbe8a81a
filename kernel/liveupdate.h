/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user interface of /dev/liveupdate, as laid down by version 2 of the
 * Live Update Orchestrator (RFC of May 2025).
 */
#ifndef _LUO_LIVEUPDATE_H
#define _LUO_LIVEUPDATE_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * enum liveupdate_state - where a live update stands
 * @LIVEUPDATE_STATE_NORMAL: nothing is going on
 * @LIVEUPDATE_STATE_PREPARED: preserved resources are pinned and recorded
 * @LIVEUPDATE_STATE_FROZEN: the record is complete, the kexec may come
 * @LIVEUPDATE_STATE_UPDATED: this kernel took a handover over and still
 *	keeps what came until it is finished
 */
enum liveupdate_state {
	LIVEUPDATE_STATE_NORMAL = 0,
	LIVEUPDATE_STATE_PREPARED = 1,
	LIVEUPDATE_STATE_FROZEN = 2,
	LIVEUPDATE_STATE_UPDATED = 3,
};

/**
 * struct liveupdate_fd - a descriptor and the token that stands for it
 * @fd: preserve: the descriptor (in); restore: the new descriptor (out)
 * @flags: must be 0
 * @token: preserve: given by the kernel (out); restore: which one (in)
 */
struct liveupdate_fd {
	__s32 fd;
	__u32 flags;
	__aligned_u64 token;
};

#define LIVEUPDATE_IOCTL_TYPE		0xBA

#define LIVEUPDATE_IOCTL_FD_PRESERVE \
	_IOWR(LIVEUPDATE_IOCTL_TYPE, 0x00, struct liveupdate_fd)
#define LIVEUPDATE_IOCTL_FD_UNPRESERVE \
	_IOW(LIVEUPDATE_IOCTL_TYPE, 0x01, __u64)
#define LIVEUPDATE_IOCTL_FD_RESTORE \
	_IOWR(LIVEUPDATE_IOCTL_TYPE, 0x02, struct liveupdate_fd)
#define LIVEUPDATE_IOCTL_GET_STATE \
	_IOR(LIVEUPDATE_IOCTL_TYPE, 0x03, int)
#define LIVEUPDATE_IOCTL_EVENT_PREPARE	_IO(LIVEUPDATE_IOCTL_TYPE, 0x04)
#define LIVEUPDATE_IOCTL_EVENT_FREEZE	_IO(LIVEUPDATE_IOCTL_TYPE, 0x05)
#define LIVEUPDATE_IOCTL_EVENT_CANCEL	_IO(LIVEUPDATE_IOCTL_TYPE, 0x06)
#define LIVEUPDATE_IOCTL_EVENT_FINISH	_IO(LIVEUPDATE_IOCTL_TYPE, 0x07)

#endif /* _LUO_LIVEUPDATE_H */
