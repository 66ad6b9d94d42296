// Package blobstore keeps artifacts in a bucket of an object store, or in a
// directory, that several processes on several machines may share. It stands on
// gocloud.dev/blob, which knows S3 and what speaks its protocol, Google Cloud
// Storage, Azure Blob Storage, directories, and memory.
//
// A program links the SDKs of those that it imports, and of no others:
//
//	import _ "gocloud.dev/blob/s3blob"    // s3://bucket?region=eu-central-1
//	import _ "gocloud.dev/blob/gcsblob"   // gs://bucket
//	import _ "gocloud.dev/blob/azureblob" // azblob://container
//	import _ "gocloud.dev/blob/fileblob"  // file:///srv/artifacts
//	import _ "gocloud.dev/blob/memblob"   // mem://, for tests
//
// Each of these packages says which parameters its URLs have, and where it looks
// for credentials, which is never the URL. All know prefix=foreman/, which keeps
// everything below that prefix. See [Open], or [New] for a bucket that was opened
// in another way.
//
// # What is in the bucket
//
// An artifact is one object. Its key is that of [artifact.Key.Path], the same as
// the path of its file in an [artifact.Dir], so that a directory can be copied to
// a bucket as it is, without its directories tmp and spool. (A name that ends in
// ".attrs" is followed by "~0", since fileblob has such files of its own.) Spools
// are objects spool/<job>-<attempt>-<number>: see [Store.CreateSpool]. The object
// clock is there to tell the time of the bucket: see [Store.Sweep]. The object queue has
// the id of the queue that the bucket belongs to: see [Store.Own]. Other objects are
// left alone.
//
// The bucket needs a rule that ends uploads that nobody completes, which S3 calls
// AbortIncompleteMultipartUpload: a process that dies in the middle of an upload
// leaves parts that are no object, are in no list, and are paid for. It must have
// no rule that expires objects: how long an artifact is kept is for the jobs to
// say.
//
// The credentials must allow reading, writing, listing and deleting objects.
//
// A bucket, or a prefix of one, belongs to one queue: the sweeps of another would
// remove what they do not know, and it is refused. Processes that share a queue share
// the bucket.
//
// # Directories
//
// A file:// URL is for a directory on a file system that several machines mount,
// such as NFS. It has to be there: one that is not is more often a share that is not
// mounted than one that is new (create_dir=true in the URL has it made). When the object
// clock is gone that [Open] has put there, nothing is written: the share is not mounted
// any more.
//
// [Open] makes fileblob keep nothing but the bytes, and make directories for the user of
// this process alone (set dir_file_mode=0750, or the like, in the URL to change that);
// Put then syncs the file and its directory, as that of [artifact.Dir] does. For one
// process with a disk of its own, use [artifact.Dir], which is quicker. Never open one
// directory with both at a time.
package blobstore
