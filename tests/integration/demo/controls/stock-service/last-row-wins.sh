# Takes the row that comes last for the one that counts.
# fails: test_the_loader_tidies_what_it_reads
# fails: test_every_page_is_read_whatever_the_pages_and_tokens_are
set -eu
sed 's/ or row\["rev"\] > last\[sku\]\["rev"\]/ or True/' /solution/sync.py > /tmp/sync.py
grep -q 'or True' /tmp/sync.py
/solution/solve.sh
cp /tmp/sync.py /app/sync.py
