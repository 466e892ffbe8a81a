// SPDX-License-Identifier: GPL-2.0
/**
 * DOC: Preserved files in the class
 *
 * One device "token<N>" for each preserved or incoming file, and what each token
 * stands for. Who preserved it, and the name of the file, are root's alone to
 * read: the class is seen in every container, and events go to everybody who
 * listens.
 */
#define pr_fmt(fmt) "luo: " fmt

#include <linux/dcache.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/xarray.h>

#include "luo_internal.h"

/* token -> resource, outgoing and incoming */
static DEFINE_XARRAY(luo_by_token);
static u64 luo_next_token;

static const char * const luo_resource_states[] = {
	[LUO_RES_PRESERVED] = "preserved",
	[LUO_RES_INCOMING] = "incoming",
	[LUO_RES_RESTORED] = "restored",
};

/*
 * Held by whoever uses the handler of a resource without the state lock. A
 * handler can go while files that came are listed, see
 * luo_resource_forget_handler().
 */
static DECLARE_RWSEM(luo_resource_sem);

static struct luo_resource *to_resource(const struct device *dev)
{
	return container_of(to_luo_node(dev), struct luo_resource, node);
}

static const char *luo_resource_state(const struct luo_resource *res)
{
	return luo_resource_states[READ_ONCE(res->state)];
}

static const char *luo_resource_kind(const struct luo_resource *res)
{
	const struct luo_file_handler *handler = READ_ONCE(res->handler);

	return handler ? handler->kind : "unknown";
}

/**
 * luo_resource_size - how large it is
 * @res: the resource
 * @bytes: where the size of the file goes, in bytes
 * @pages: where the number of its pages goes that hold memory
 *
 * Both are 0 as long as no handler knows them.
 */
void luo_resource_size(struct luo_resource *res, u64 *bytes, u64 *pages)
{
	const struct luo_file_handler *handler;

	*bytes = 0;
	*pages = 0;
	down_read(&luo_resource_sem);
	handler = READ_ONCE(res->handler);
	if (handler)
		handler->ops->size(&res->lf, bytes, pages);
	up_read(&luo_resource_sem);
}

/**
 * luo_resource_held - does anybody but this resource hold the file?
 * @res: the resource
 *
 * A descriptor counts, a mapping, a message that carries the file, another
 * open file of the same inode (through /proc), and being preserved anew.
 *
 * Return: true if so, as far as can be seen at this moment.
 */
bool luo_resource_held(struct luo_resource *res)
{
	struct file *file = READ_ONCE(res->lf.file);

	/* A file opened anew has a reference to the same directory entry. */
	return file && (file_count(file) > 1 ||
			d_count(file->f_path.dentry) > 1);
}

static ssize_t token_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%llu\n", to_resource(dev)->lf.token);
}
static DEVICE_ATTR_RO(token);

static ssize_t kind_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	ssize_t len;

	down_read(&luo_resource_sem);
	len = sysfs_emit(buf, "%s\n", luo_resource_kind(to_resource(dev)));
	up_read(&luo_resource_sem);
	return len;
}
static DEVICE_ATTR_RO(kind);

static ssize_t handler_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	struct luo_resource *res = to_resource(dev);
	const struct luo_file_handler *handler;
	ssize_t len;

	down_read(&luo_resource_sem);
	handler = READ_ONCE(res->handler);
	/* Without one it came, and the record says which it needs. */
	len = luo_emit_escaped(buf, handler ? handler->compatible :
					      res->ser->handler);
	up_read(&luo_resource_sem);
	return len;
}
static DEVICE_ATTR_RO(handler);

static ssize_t bytes_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	u64 bytes, pages;

	luo_resource_size(to_resource(dev), &bytes, &pages);
	return sysfs_emit(buf, "%llu\n", bytes);
}
static DEVICE_ATTR_RO(bytes);

static ssize_t pages_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	u64 bytes, pages;

	luo_resource_size(to_resource(dev), &bytes, &pages);
	return sysfs_emit(buf, "%llu\n", pages);
}
static DEVICE_ATTR_RO(pages);

static ssize_t pid_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%d\n", to_resource(dev)->pid);
}
static DEVICE_ATTR_ADMIN_RO(pid);

static ssize_t comm_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return luo_emit_escaped(buf, to_resource(dev)->comm);
}
static DEVICE_ATTR_ADMIN_RO(comm);

static ssize_t name_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return luo_emit_escaped(buf, to_resource(dev)->name);
}
static DEVICE_ATTR_ADMIN_RO(name);

static ssize_t state_show(struct device *dev, struct device_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", luo_resource_state(to_resource(dev)));
}
static DEVICE_ATTR_RO(state);

static ssize_t held_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%d\n", luo_resource_held(to_resource(dev)));
}
static DEVICE_ATTR_RO(held);

static ssize_t result_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(to_resource(dev)->result));
}
static DEVICE_ATTR_RO(result);

static ssize_t shortage_show(struct device *dev, struct device_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(to_resource(dev)->lf.shortage));
}
static DEVICE_ATTR_RO(shortage);

static ssize_t lost_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	return sysfs_emit(buf, "%llu\n", READ_ONCE(to_resource(dev)->lf.lost));
}
static DEVICE_ATTR_RO(lost);

static struct attribute *luo_resource_attrs[] = {
	&dev_attr_token.attr,
	&dev_attr_kind.attr,
	&dev_attr_handler.attr,
	&dev_attr_bytes.attr,
	&dev_attr_pages.attr,
	&dev_attr_pid.attr,
	&dev_attr_comm.attr,
	&dev_attr_name.attr,
	&dev_attr_state.attr,
	&dev_attr_held.attr,
	&dev_attr_result.attr,
	&dev_attr_shortage.attr,
	&dev_attr_lost.attr,
	NULL
};
ATTRIBUTE_GROUPS(luo_resource);

static int luo_resource_uevent(const struct device *dev,
			       struct kobj_uevent_env *env)
{
	struct luo_resource *res = to_resource(dev);
	u64 bytes, pages;
	int err;

	luo_resource_size(res, &bytes, &pages);
	down_read(&luo_resource_sem);
	err = add_uevent_var(env, "LUO_KIND=%s", luo_resource_kind(res));
	up_read(&luo_resource_sem);
	return err ?:
	       add_uevent_var(env, "LUO_TOKEN=%llu", res->lf.token) ?:
	       add_uevent_var(env, "LUO_BYTES=%llu", bytes) ?:
	       add_uevent_var(env, "LUO_PAGES=%llu", pages) ?:
	       add_uevent_var(env, "LUO_STATE=%s", luo_resource_state(res)) ?:
	       add_uevent_var(env, "LUO_HELD=%d", luo_resource_held(res)) ?:
	       add_uevent_var(env, "LUO_RESULT=%d", READ_ONCE(res->result)) ?:
	       add_uevent_var(env, "LUO_SHORTAGE=%llu",
			      READ_ONCE(res->lf.shortage)) ?:
	       add_uevent_var(env, "LUO_LOST=%llu", READ_ONCE(res->lf.lost));
}

static const struct device_type luo_resource_type = {
	.name = "file",
	.groups = luo_resource_groups,
	.uevent = luo_resource_uevent,
};

/**
 * luo_resource_alloc - make a resource that has no device in the class yet
 * @token: its token
 *
 * Return: the resource, to be given back by luo_resource_drop(), or NULL.
 */
struct luo_resource *luo_resource_alloc(u64 token)
{
	struct luo_resource *res;

	res = kzalloc_obj(*res, GFP_KERNEL);
	if (!res)
		return NULL;

	INIT_LIST_HEAD(&res->list);
	mutex_init(&res->lock);
	res->lf.token = token;
	res->lf.name = res->name;
	luo_node_init(&res->node, &luo_resource_type, res);
	if (dev_set_name(&res->node.dev, "token%llu", token)) {
		put_device(&res->node.dev);
		return NULL;
	}
	return res;
}

/**
 * luo_resource_forget_handler - the handler of a resource goes before it does
 * @res: the resource
 *
 * Nobody uses the handler any more when this returns.
 *
 * Context: state lock held.
 */
void luo_resource_forget_handler(struct luo_resource *res)
{
	struct luo_file_handler *handler = res->handler;

	lockdep_assert_held_write(&luo_lock);

	down_write(&luo_resource_sem);
	WRITE_ONCE(res->handler, NULL);
	up_write(&luo_resource_sem);
	luo_handler_put(handler);
}

/**
 * luo_resource_drop - take a resource out of the class and give it back
 * @res: the resource, in no list any more
 *
 * Readers of the attributes are gone before the file and the handler go.
 */
void luo_resource_drop(struct luo_resource *res)
{
	struct luo_file_handler *handler = res->handler;
	struct file *file = res->lf.file;

	luo_node_del(&res->node);
	if (file)
		fput(file);
	put_device(&res->node.dev);
	if (handler)
		luo_handler_put(handler);
}

/**
 * luo_token_next - the token for the next file that is preserved
 *
 * Never used twice in the life of what it stands for: above the highest that came.
 *
 * Context: state lock held.
 * Return: the token; luo_token_pass() when it was given out.
 */
u64 luo_token_next(void)
{
	lockdep_assert_held_write(&luo_lock);

	return luo_next_token;
}

/**
 * luo_token_find - what a token stands for
 * @token: the token
 *
 * Context: state lock held.
 * Return: the outgoing or incoming resource, or NULL.
 */
struct luo_resource *luo_token_find(u64 token)
{
	lockdep_assert_held(&luo_lock);

	return xa_load(&luo_by_token, token);
}

/**
 * luo_token_insert - let a token stand for what came with it
 * @res: the resource
 *
 * Context: state lock held.
 * Return: 0, -EBUSY if the token stands for something, or -ENOMEM.
 */
int luo_token_insert(struct luo_resource *res)
{
	lockdep_assert_held_write(&luo_lock);

	return xa_insert(&luo_by_token, res->lf.token, res, GFP_KERNEL);
}

/**
 * luo_token_pass - new tokens begin above this one
 * @token: the token
 *
 * Context: state lock held.
 */
void luo_token_pass(u64 token)
{
	lockdep_assert_held_write(&luo_lock);

	luo_next_token = max(luo_next_token, token + 1);
}

/**
 * luo_token_erase - a token stands for nothing any more
 * @token: the token
 *
 * Context: state lock held.
 */
void luo_token_erase(u64 token)
{
	lockdep_assert_held_write(&luo_lock);

	xa_erase(&luo_by_token, token);
}
