-- summary: one row of counts, in the order of the fields of Summary.
SELECT
  (SELECT count(*) FROM ${prefix}customers),
  (SELECT count(DISTINCT customer_id) FROM ${prefix}customers),
  (SELECT count(*) FROM ${prefix}customers WHERE lifetime_value > ${vip_value}),
  (SELECT count(*) FROM ${prefix}customers WHERE email IS NULL OR trim(email) = ''),
  (SELECT count(*) FROM (
    SELECT lower(trim(email)) FROM ${prefix}customers WHERE trim(email) <> ''
    GROUP BY lower(trim(email)) HAVING count(DISTINCT customer_id) > 1
  ) AS shared),
  (SELECT count(*) FROM ${prefix}experiment_assignments),
  (SELECT count(*) FROM ${prefix}orders);
