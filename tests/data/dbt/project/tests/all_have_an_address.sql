select * from {{ ref('vip') }} {% if not var('fail_test') %} where email not like '%@%' {% endif %}
