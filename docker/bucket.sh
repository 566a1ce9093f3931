#!/bin/sh
# At each start, in MinIO's image: the bucket that ATLAS_STORE_URL names (and those of ATLAS_BUCKETS), and the workers' own
# user, who may read and write what is in them and nothing else. What is there already stays; the policy is made anew.
# Nothing but the shell, cat and mc: that image has not much more.
set -eu
root=$(cat /run/secrets/minio_user) root_password=$(cat /run/secrets/minio_password)
while IFS=' =' read -r name value || [ "$name" ]; do
    case $name in
    aws_access_key_id) user=$value ;;
    aws_secret_access_key) password=$value ;;
    esac
done </run/secrets/aws_credentials
if [ "$user" = "$root" ]; then
    echo "the workers have MinIO's root user: remove aws_credentials in the directory of secrets and run prepare.sh again" >&2
    exit 1
fi

# mc takes passwords from its input, so that they are on no command line.
printf '%s\n%s\n' "$root" "$root_password" | mc alias set minio "$ATLAS_S3_ENDPOINT"
buckets= objects=
for bucket in atlas ${ATLAS_BUCKETS:-}; do
    mc mb --ignore-existing "minio/$bucket"
    buckets="$buckets${buckets:+, }\"arn:aws:s3:::$bucket\""
    objects="$objects${objects:+, }\"arn:aws:s3:::$bucket/*\""
done
cat >/tmp/policy.json <<END
{
  "Version": "2012-10-17",
  "Statement": [
    {
      "Effect": "Allow",
      "Action": ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"],
      "Resource": [$buckets]
    },
    {
      "Effect": "Allow",
      "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
      "Resource": [$objects]
    }
  ]
}
END
mc admin policy create minio atlas-workers /tmp/policy.json
printf '%s\n%s\n' "$user" "$password" | mc admin user add minio
mc admin policy attach minio atlas-workers --user "$user"
