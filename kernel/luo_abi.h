/* SPDX-License-Identifier: GPL-2.0 */
/**
 * DOC: Everything that crosses the kexec
 *
 * Written by luo.ko of the old kernel, read by that of the new one, which may be
 * older or younger. One page, the root, hangs in the tree of kexec handover
 * under LUO_KHO_SUBTREE; all else hangs from it::
 *
 *      root -> pages of file records -> a memfd's record -> pages of folios
 *          |-> records of subsystems -> the record of PCI devices
 *          \-> blocks of spare pages
 *
 * The version rule. LUO_COMPATIBLE names the rule itself and the layout of the
 * head that each part begins with. A part has its version (LUO_*_VERSION), the
 * oldest reader that understands what is written (LUO_*_NEEDS), and the oldest
 * version that is read (LUO_*_READS):
 *
 * - What only adds to the end of a structure, and may be passed over, makes a new
 *   version. A reader goes by @size, passes over the tail that it does not know,
 *   and takes what an older writer did not have for 0.
 * - What changes the meaning of anything that was there, or must not be passed
 *   over, makes a new version that needs itself: older readers refuse it.
 * - What a reader no longer understands, it names by reading from a later version
 *   on. Nothing that it reads is shorter than LUO_*_LEAST, the size of that one.
 *
 * Numbers are in the byte order of the machine. Addresses are physical, in
 * bytes, and so are places in files: no unit depends on the size of a page. A
 * checksum stands for what may be changed by accident; what is readable and
 * wrong on purpose is caught by luo_check.c as far as the bytes can tell.
 */
#ifndef _LUO_ABI_H
#define _LUO_ABI_H

#include <linux/types.h>

/* The name of the rule above, and of what a head is. */
#define LUO_COMPATIBLE		"luo-ko-v3"

/* "LUO" belongs to mainline: the new kernel would panic on reading ours. */
#define LUO_KHO_SUBTREE		"liveupdate-v2"

#define LUO_ROOT_VERSION	2
#define LUO_ROOT_NEEDS		2
#define LUO_ROOT_READS		2
#define LUO_ROOT_LEAST		3304

#define LUO_FILE_VERSION	1
#define LUO_FILE_NEEDS		1
#define LUO_FILE_READS		1
#define LUO_FILE_LEAST		528

#define LUO_MEMFD_VERSION	1
#define LUO_MEMFD_NEEDS		1
#define LUO_MEMFD_READS		1
#define LUO_MEMFD_LEAST		144

#define LUO_PCI_VERSION		1
#define LUO_PCI_NEEDS		1
#define LUO_PCI_READS		1
#define LUO_PCI_LEAST		24

/* Room for a name or a compatible string, with its final 0. */
#define LUO_COMPATIBLE_LEN	32

/* Room that a handler has for what it knows of one file. */
#define LUO_FILE_RECORD_LEN	192

#define LUO_RELEASE_LEN		72
#define LUO_NAME_LEN		256
#define LUO_COMM_LEN		16

/* So many subsystems can take part; their records lie in the root itself. */
#define LUO_MAX_SUBSYSTEMS	64

/* Spare pages lie in so many blocks at most. */
#define LUO_SPARE_BLOCKS	64

/* The last word written by a good freeze: "luo done". */
#define LUO_SER_MARK		0x6c756f20646f6e65ULL

/**
 * struct luo_ser_head - how each part begins
 * @size: bytes of the whole part as its writer knew it, this head included
 * @version: of its writer
 * @needs: the oldest version whose reader understands it
 */
struct luo_ser_head {
	__u32 size;
	__u16 version;
	__u16 needs;
};

/* A page of a chain, whatever the machine's page size is. */
#define LUO_SER_PAGE		4096

/**
 * struct luo_ser_page - one page of a chain of entries of the same size
 * @next: address of the next; 0: this is the last. All before it are full
 * @nr: number of entries in this one
 * @crc: of this page's first bytes to the end of what it covers, itself as 0: up
 *	to @entries where entries have checksums of their own, else up to the
 *	last entry
 * @entries: the entries
 */
struct luo_ser_page {
	__u64 next;
	__u32 nr;
	__u32 crc;
	__u8 entries[LUO_SER_PAGE - 16];
};

/**
 * struct luo_ser_times - raw TSC values of one update, 0 = has not happened
 * @khz: rate of the counter in the kernel that wrote them
 * @prepare_begin: PREPARE was accepted
 * @prepare_end: everything is prepared
 * @freeze_begin: FREEZE, or the freeze within reboot(2), was accepted
 * @freeze_end: the record is complete
 * @jump: the last moment of the old kernel that a module can see
 * @arrived: luo.ko of the new kernel took the data over
 */
struct luo_ser_times {
	__u64 khz;
	__u64 prepare_begin;
	__u64 prepare_end;
	__u64 freeze_begin;
	__u64 freeze_end;
	__u64 jump;
	__u64 arrived;
};

/**
 * struct luo_ser_subsystem - one subsystem on its way
 * @name: its name, which says also which version @data has
 * @data: the number that it hands over
 */
struct luo_ser_subsystem {
	char name[LUO_COMPATIBLE_LEN];
	__u64 data;
};

/**
 * struct luo_ser_root - the one blob that the KHO tree points to
 * @compatible: LUO_COMPATIBLE
 * @head: of this structure
 * @mark: LUO_SER_MARK once the handover is complete
 * @consumed: written by the new kernel: what came was taken over
 * @times: when what happened
 * @reserved: 0
 * @crc: of everything before @mark and behind @crc, to the end of what @head says
 * @nr_files: number of records
 * @files: address of the first struct luo_ser_page with records; 0: none
 * @file_size: bytes from one record to the next
 * @nr_subsystems: number of records in @subsystems
 * @release: release of the kernel that hands over
 * @nr_spare: number of blocks of spare pages
 * @spare_used: bytes of them, from the front of the first block, that a list of
 *	folios leads to or is in
 * @spare: the blocks, as a folio's @where
 * @subsystems: those that take part, in the order in which they were called
 */
struct luo_ser_root {
	char compatible[LUO_COMPATIBLE_LEN];
	struct luo_ser_head head;
	__u64 mark;
	__u64 consumed;
	struct luo_ser_times times;
	__u32 reserved;
	__u32 crc;
	__u64 nr_files;
	__u64 files;
	__u32 file_size;
	__u32 nr_subsystems;
	char release[LUO_RELEASE_LEN];
	__u64 nr_spare;
	__u64 spare_used;
	__u64 spare[LUO_SPARE_BLOCKS];
	struct luo_ser_subsystem subsystems[LUO_MAX_SUBSYSTEMS];
};

/**
 * struct luo_ser_file - one preserved descriptor on its way
 * @head: of this structure
 * @ready: not 0 once @data is whole
 * @crc: of the whole record, itself as 0
 * @token: its token
 * @pid: process that preserved it (initial PID namespace)
 * @reserved: 0
 * @handler: compatible string of the handler that wrote @data
 * @comm: name of that process
 * @name: name of the file
 * @data: the handler's own record
 */
struct luo_ser_file {
	struct luo_ser_head head;
	__u32 ready;
	__u32 crc;
	__u64 token;
	__u32 pid;
	__u32 reserved;
	char handler[LUO_COMPATIBLE_LEN];
	char comm[LUO_COMM_LEN];
	char name[LUO_NAME_LEN];
	__u8 data[LUO_FILE_RECORD_LEN];
};

#define LUO_MEMFD_COMPATIBLE	"memfd-v2"

/**
 * struct luo_ser_folio - one folio of a memfd
 * @where: its address, and in the bits of LUO_SER_ORDER its order: it has
 *	LUO_SER_PAGE << order bytes, and is aligned to that
 * @at: where it belongs in the file, in bytes
 */
struct luo_ser_folio {
	__u64 where;
	__u64 at;
};

#define LUO_SER_ORDER		0xfffULL

/* So many folios need no page of their own: there may be many small files. */
#define LUO_MEMFD_FEW		4

/**
 * struct luo_ser_memfd - what a memfd's handler writes into a file's record
 * @head: of this structure
 * @size: of the file, in bytes
 * @pos: file position
 * @present: bytes of all folios together
 * @nr_folios: their number
 * @folios: address of the first struct luo_ser_page with folios; 0: they are all
 *	in @few
 * @seals: F_SEAL_...
 * @mode: type and permissions
 * @uid: owner, in the initial user namespace
 * @gid: group, likewise
 * @f_flags: O_APPEND and O_NONBLOCK
 * @reserved: 0
 * @lost: bytes in pages that were new after the freeze and found no room
 * @few: the folios if there are few
 */
struct luo_ser_memfd {
	struct luo_ser_head head;
	__u64 size;
	__u64 pos;
	__u64 present;
	__u64 nr_folios;
	__u64 folios;
	__u32 seals;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 f_flags;
	__u32 reserved;
	__u64 lost;
	struct luo_ser_folio few[LUO_MEMFD_FEW];
};

/* Changes with the meaning of the subsystem's number: where struct luo_ser_pci is. */
#define LUO_PCI_SUBSYSTEM	"pci-v2"

#define LUO_PCI_DRIVER_LEN	32
#define LUO_PCI_BARS		6
/* More devices than any machine has take part in one update. */
#define LUO_PCI_MAX		16384

/**
 * struct luo_ser_pci_device - one device on its way
 * @compatible: version of @data
 * @driver: name of its driver
 * @data: the driver's number
 * @domain: PCI domain
 * @vendor: what sits in the slot, as its configuration space says
 * @device: the same
 * @sub_vendor: the same
 * @sub_device: the same
 * @class_revision: the same
 * @slot: bus, device and function
 * @command: command register when it was left running
 * @bars: the base addresses to which it answers
 * @kept: not 0 once its driver has left it running, the last thing it does
 */
struct luo_ser_pci_device {
	char compatible[LUO_COMPATIBLE_LEN];
	char driver[LUO_PCI_DRIVER_LEN];
	__u64 data;
	__u32 domain;
	__u16 vendor;
	__u16 device;
	__u16 sub_vendor;
	__u16 sub_device;
	__u32 class_revision;
	__u16 slot;
	__u16 command;
	__u32 bars[LUO_PCI_BARS];
	__u32 kept;
};

/**
 * struct luo_ser_pci - the devices that take part
 * @head: of this structure, devices included
 * @nr: number of devices
 * @device_size: bytes from one device to the next
 * @crc: of the whole, itself as 0
 * @reserved: 0
 * @devices: their records
 */
struct luo_ser_pci {
	struct luo_ser_head head;
	__u32 nr;
	__u32 device_size;
	__u32 crc;
	__u32 reserved;
	struct luo_ser_pci_device devices[];
};

#endif /* _LUO_ABI_H */
