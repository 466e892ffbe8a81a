// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: A PCI device that stays alive
 *
 * A driver for QEMU's "edu" device (its docs/specs/edu.rst), which takes part
 * in live updates by means of luo_pci.h. The device computes factorials, has a
 * register that shows it is alive, and copies between memory and a buffer of
 * its own in 100 ms. All of that goes on while the kernel is exchanged.
 *
 * In the folder of the PCI device, "edu/":
 *
 * ===============  ==========================================================
 * liveness         what is written is read back inverted
 * factorial        a number is written, its factorial read
 * buffer           the 2048 bytes of memory that are copied
 * dma              written: "to-device" or "from-device" begins a copy; read:
 *                  "running" or "idle"
 * dma_at_shutdown  1: begin a copy from the device as the last act before the
 *                  jump, if the device stays alive
 * dma_begun        cycle counter at the beginning of the latest copy
 * interrupts       how many came in this kernel
 * alive            1 if the device came over from another kernel
 * refuses          "prepare" or "freeze": say EBUSY to that; "none"
 * ===============  ==========================================================
 *
 * Loaded with participate=0 it is a driver like any other, whose device is
 * shut down and set up anew.
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/iopoll.h>
#include <linux/kexec_handover.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/sysfs.h>
#include <linux/timex.h>

#include "../luo_pci.h"

#define EDU_VENDOR		0x1234
#define EDU_DEVICE		0x11e8

#define EDU_LIVENESS		0x04
#define EDU_FACTORIAL		0x08
#define EDU_STATUS		0x20
#define EDU_STATUS_COMPUTING	BIT(0)
#define EDU_IRQ_STATUS		0x24
#define EDU_IRQ_ACK		0x64
#define EDU_DMA_SOURCE		0x80
#define EDU_DMA_TARGET		0x88
#define EDU_DMA_COUNT		0x90
#define EDU_DMA_COMMAND		0x98
#define EDU_DMA_RUN		BIT(0)
#define EDU_DMA_FROM_DEVICE	BIT(1)
#define EDU_DMA_IRQ		BIT(2)
#define EDU_DMA_BUFFER		0x40000

#define EDU_WAIT_US		1000000

static bool participate = true;
module_param(participate, bool, 0444);
MODULE_PARM_DESC(participate, "Keep the device alive in live updates");

/**
 * struct edu_page - the page that crosses; its address is the driver's number
 * @buffer: what the device copies to and from
 * @begun: cycle counter at the beginning of the latest copy
 */
struct edu_page {
	u8 buffer[2048];
	u64 begun;
};

/**
 * struct edu - a device
 * @pdev: the device
 * @regs: its registers
 * @lock: against several writers of attributes
 * @irq_lock: covers what the interrupt handler changes
 * @page: memory that the device may touch
 * @dma: its address for the device
 * @alive: came over from another kernel
 * @preserved: @page is preserved
 * @frozen: begin nothing new
 * @dma_at_shutdown: begin a copy as the last act of this kernel
 * @refuses: the call to which to say no, in edu_calls
 * @interrupts: how many came
 */
struct edu {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct mutex lock; /* see above */
	spinlock_t irq_lock; /* see above */
	struct edu_page *page;
	dma_addr_t dma;
	bool alive;
	bool preserved;
	bool frozen;
	bool dma_at_shutdown;
	int refuses;
	unsigned long interrupts;
};

static bool edu_dma_runs(struct edu *edu)
{
	return readl(edu->regs + EDU_DMA_COMMAND) & EDU_DMA_RUN;
}

static void edu_dma_begin(struct edu *edu, bool from_device)
{
	u64 memory = edu->dma + offsetof(struct edu_page, buffer);

	dma_sync_single_for_device(&edu->pdev->dev, edu->dma, PAGE_SIZE,
				   DMA_BIDIRECTIONAL);
	edu->page->begun = get_cycles();
	writel(from_device ? EDU_DMA_BUFFER : memory,
	       edu->regs + EDU_DMA_SOURCE);
	writel(from_device ? memory : EDU_DMA_BUFFER,
	       edu->regs + EDU_DMA_TARGET);
	writel(sizeof(edu->page->buffer), edu->regs + EDU_DMA_COUNT);
	writel(EDU_DMA_RUN | EDU_DMA_IRQ |
	       (from_device ? EDU_DMA_FROM_DEVICE : 0),
	       edu->regs + EDU_DMA_COMMAND);
}

static irqreturn_t edu_interrupt(int irq, void *data)
{
	struct edu *edu = data;
	unsigned long flags;
	u32 status;

	spin_lock_irqsave(&edu->irq_lock, flags);
	status = readl(edu->regs + EDU_IRQ_STATUS);
	if (status) {
		writel(status, edu->regs + EDU_IRQ_ACK);
		dma_sync_single_for_cpu(&edu->pdev->dev, edu->dma, PAGE_SIZE,
					DMA_BIDIRECTIONAL);
		edu->interrupts++;
	}
	spin_unlock_irqrestore(&edu->irq_lock, flags);
	return status ? IRQ_HANDLED : IRQ_NONE;
}

static int edu_compute(struct edu *edu, u32 number)
{
	u32 status;

	writel(number, edu->regs + EDU_FACTORIAL);
	return readl_poll_timeout(edu->regs + EDU_STATUS, status,
				  !(status & EDU_STATUS_COMPUTING), 100,
				  EDU_WAIT_US);
}

/* The state in which a driver wants a device that it does not know. */
static int edu_reset(struct edu *edu)
{
	u32 command;
	int err;

	err = readl_poll_timeout(edu->regs + EDU_DMA_COMMAND, command,
				 !(command & EDU_DMA_RUN), 1000, EDU_WAIT_US);
	if (err)
		return err;
	writel(0, edu->regs + EDU_STATUS);
	writel(~0, edu->regs + EDU_IRQ_ACK);
	writel(0, edu->regs + EDU_LIVENESS);
	return edu_compute(edu, 0);
}

/* What user space sees. */

static ssize_t liveness_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%#x\n", readl(edu->regs + EDU_LIVENESS));
}

static int edu_lock(struct edu *edu)
{
	mutex_lock(&edu->lock);
	if (!edu->frozen)
		return 0;
	mutex_unlock(&edu->lock);
	return -EBUSY;
}

static ssize_t liveness_store(struct device *dev,
			      struct device_attribute *attr,
			      const char *buf, size_t len)
{
	struct edu *edu = dev_get_drvdata(dev);
	u32 number;
	int err;

	err = kstrtou32(buf, 0, &number) ?: edu_lock(edu);
	if (err)
		return err;
	writel(number, edu->regs + EDU_LIVENESS);
	mutex_unlock(&edu->lock);
	return len;
}
static DEVICE_ATTR_RW(liveness);

static ssize_t factorial_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%u\n", readl(edu->regs + EDU_FACTORIAL));
}

static ssize_t factorial_store(struct device *dev,
			       struct device_attribute *attr,
			       const char *buf, size_t len)
{
	struct edu *edu = dev_get_drvdata(dev);
	u32 number;
	int err;

	err = kstrtou32(buf, 0, &number) ?: edu_lock(edu);
	if (err)
		return err;
	err = edu_compute(edu, number);
	mutex_unlock(&edu->lock);
	return err ?: len;
}
static DEVICE_ATTR_RW(factorial);

static ssize_t dma_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", edu_dma_runs(edu) ? "running" : "idle");
}

static ssize_t dma_store(struct device *dev, struct device_attribute *attr,
			 const char *buf, size_t len)
{
	struct edu *edu = dev_get_drvdata(dev);
	bool from_device = sysfs_streq(buf, "from-device");
	int err;

	if (!from_device && !sysfs_streq(buf, "to-device"))
		return -EINVAL;
	err = edu_lock(edu);
	if (err)
		return err;
	if (edu_dma_runs(edu))
		err = -EBUSY;
	else
		edu_dma_begin(edu, from_device);
	mutex_unlock(&edu->lock);
	return err ?: len;
}
static DEVICE_ATTR_RW(dma);

static ssize_t dma_at_shutdown_show(struct device *dev,
				    struct device_attribute *attr, char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%d\n", edu->dma_at_shutdown);
}

static ssize_t dma_at_shutdown_store(struct device *dev,
				     struct device_attribute *attr,
				     const char *buf, size_t len)
{
	struct edu *edu = dev_get_drvdata(dev);
	int err = kstrtobool(buf, &edu->dma_at_shutdown);

	return err ?: len;
}
static DEVICE_ATTR_RW(dma_at_shutdown);

static ssize_t dma_begun_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%llu\n", edu->page->begun);
}
static DEVICE_ATTR_RO(dma_begun);

static ssize_t interrupts_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%lu\n", READ_ONCE(edu->interrupts));
}
static DEVICE_ATTR_RO(interrupts);

static ssize_t alive_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%d\n", edu->alive);
}
static DEVICE_ATTR_RO(alive);

enum {
	EDU_NONE,
	EDU_PREPARE,
	EDU_FREEZE,
};

static const char * const edu_calls[] = {
	[EDU_NONE] = "none",
	[EDU_PREPARE] = "prepare",
	[EDU_FREEZE] = "freeze",
};

static ssize_t refuses_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct edu *edu = dev_get_drvdata(dev);

	return sysfs_emit(buf, "%s\n", edu_calls[READ_ONCE(edu->refuses)]);
}

static ssize_t refuses_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t len)
{
	struct edu *edu = dev_get_drvdata(dev);
	int call = sysfs_match_string(edu_calls, buf);

	if (call < 0)
		return call;
	WRITE_ONCE(edu->refuses, call);
	return len;
}
static DEVICE_ATTR_RW(refuses);

static ssize_t buffer_read(struct file *file, struct kobject *kobj,
			   const struct bin_attribute *attr, char *buf,
			   loff_t offset, size_t len)
{
	struct edu *edu = dev_get_drvdata(kobj_to_dev(kobj));

	memcpy(buf, edu->page->buffer + offset, len);
	return len;
}

static ssize_t buffer_write(struct file *file, struct kobject *kobj,
			    const struct bin_attribute *attr, char *buf,
			    loff_t offset, size_t len)
{
	struct edu *edu = dev_get_drvdata(kobj_to_dev(kobj));
	int err = edu_lock(edu);

	if (err)
		return err;
	memcpy(edu->page->buffer + offset, buf, len);
	mutex_unlock(&edu->lock);
	return len;
}

static const BIN_ATTR_RW(buffer, sizeof_field(struct edu_page, buffer));

static struct attribute *edu_attrs[] = {
	&dev_attr_liveness.attr,
	&dev_attr_factorial.attr,
	&dev_attr_dma.attr,
	&dev_attr_dma_at_shutdown.attr,
	&dev_attr_dma_begun.attr,
	&dev_attr_interrupts.attr,
	&dev_attr_alive.attr,
	&dev_attr_refuses.attr,
	NULL
};

static const struct bin_attribute *const edu_bin_attrs[] = {
	&bin_attr_buffer,
	NULL
};

static const struct attribute_group edu_group = {
	.name = "edu",
	.attrs = edu_attrs,
	.bin_attrs = edu_bin_attrs,
};

static const struct attribute_group *edu_groups[] = {
	&edu_group,
	NULL
};

/* What a live update asks for. */

static int edu_prepare(struct pci_dev *pdev, u64 *data)
{
	struct edu *edu = pci_get_drvdata(pdev);
	int err;

	if (READ_ONCE(edu->refuses) == EDU_PREPARE)
		return -EBUSY;
	err = kho_preserve_pages(virt_to_page(edu->page), 1);
	if (err)
		return err;
	edu->preserved = true;
	*data = virt_to_phys(edu->page);
	return 0;
}

static int edu_freeze(struct pci_dev *pdev, u64 *data)
{
	struct edu *edu = pci_get_drvdata(pdev);

	if (READ_ONCE(edu->refuses) == EDU_FREEZE)
		return -EBUSY;
	mutex_lock(&edu->lock);
	edu->frozen = true;
	mutex_unlock(&edu->lock);
	return 0;
}

static void edu_cancel(struct pci_dev *pdev, u64 data)
{
	struct edu *edu = pci_get_drvdata(pdev);

	mutex_lock(&edu->lock);
	edu->frozen = false;
	mutex_unlock(&edu->lock);
	if (edu->preserved)
		kho_unpreserve_pages(virt_to_page(edu->page), 1);
	edu->preserved = false;
}

static const struct luo_pci_ops edu_luo_ops = {
	.compatible = "edu-v1",
	.prepare = edu_prepare,
	.freeze = edu_freeze,
	.cancel = edu_cancel,
};

/* Only once the device cannot write to it any more. */
static void edu_free_page(void *data)
{
	struct edu *edu = data;

	pci_clear_master(edu->pdev);
	if (edu->dma)
		dma_unmap_page(&edu->pdev->dev, edu->dma, PAGE_SIZE,
			       DMA_BIDIRECTIONAL);
	free_page((unsigned long)edu->page);
}

static int edu_get_page(struct edu *edu, u64 phys)
{
	struct device *dev = &edu->pdev->dev;
	struct page *page;
	dma_addr_t dma;
	int err;

	/* Where it came over alive, the device may be writing to it now. */
	page = edu->alive ? kho_restore_pages(phys, 1) :
			    alloc_page(GFP_KERNEL | GFP_DMA32 | __GFP_ZERO);
	if (!page)
		return edu->alive ? -EIO : -ENOMEM;
	edu->page = page_address(page);
	err = devm_add_action_or_reset(dev, edu_free_page, edu);
	if (err)
		return err;

	dma = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, dma))
		return -ENOMEM;
	edu->dma = dma;
	/* The device knows the address that it had. */
	if (edu->alive && dma != phys)
		return -EIO;
	return 0;
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu *edu;
	u64 phys = 0;
	int err;

	static_assert(sizeof(struct edu_page) <= PAGE_SIZE);

	edu = devm_kzalloc(&pdev->dev, sizeof(*edu), GFP_KERNEL);
	if (!edu)
		return -ENOMEM;
	edu->pdev = pdev;
	mutex_init(&edu->lock);
	spin_lock_init(&edu->irq_lock);
	pci_set_drvdata(pdev, edu);

	/* Before the first touch. */
	edu->alive = participate &&
		     !luo_pci_incoming(pdev, &edu_luo_ops, &phys);

	err = pcim_enable_device(pdev);
	if (err)
		goto err_stop;
	edu->regs = pcim_iomap_region(pdev, 0, "luo_edu");
	if (IS_ERR(edu->regs)) {
		err = PTR_ERR(edu->regs);
		goto err_stop;
	}
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(32));
	if (err)
		goto err_stop;
	err = edu_get_page(edu, phys);
	if (err)
		goto err_stop;
	if (!edu->alive) {
		err = edu_reset(edu);
		if (err)
			goto err_stop;
	}
	pci_set_master(pdev);

	err = pci_alloc_irq_vectors(pdev, 1, 1, PCI_IRQ_MSI | PCI_IRQ_INTX);
	if (err < 0)
		goto err_stop;
	err = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, 0),
			       edu_interrupt, IRQF_SHARED, "luo_edu", edu);
	if (err)
		goto err_stop;
	/* What happened on the way has interrupted nobody. */
	edu_interrupt(0, edu);

	if (participate) {
		/* A device that is refused is reset in an update; luo.ko says why. */
		err = luo_pci_register(pdev, &edu_luo_ops);
		if (err && err != -EOPNOTSUPP)
			pci_warn(pdev, "takes no part in live updates (%d)\n",
				 err);
	}
	pci_info(pdev, "%s\n", edu->alive ? "taken over alive" : "set up");
	return 0;

err_stop:
	pci_clear_master(pdev);
	return err;
}

static void edu_remove(struct pci_dev *pdev)
{
	luo_pci_unregister(pdev);
}

static void edu_shutdown(struct pci_dev *pdev)
{
	struct edu *edu = pci_get_drvdata(pdev);

	if (luo_pci_keeps_running(pdev)) {
		if (edu->dma_at_shutdown && !edu_dma_runs(edu))
			edu_dma_begin(edu, true);
		return;
	}
	pci_clear_master(pdev);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "luo_edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
	.shutdown = edu_shutdown,
	.dev_groups = edu_groups,
};
module_pci_driver(edu_driver);

MODULE_DESCRIPTION("Driver of QEMU's edu device that keeps it alive in live updates");
MODULE_LICENSE("GPL");
