select customer_id, email, plan
from {{ ref('customers') }}
where plan = 'gold'
{% if var('break_model') %} and 1 = cast('no number' as integer) {% endif %}
