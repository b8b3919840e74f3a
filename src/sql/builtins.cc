#include "sql/builtins.h"

#include <algorithm>
#include <vector>

namespace sql {
namespace {

// Of pg_proc, without what stands behind operators, types and indexes; the keywords of
// pg_get_keywords() behind which a parenthesis may stand; what PostgreSQL 16 to 18 added; and the
// functions of the usual extensions. Sorted.
constexpr std::string_view kNames =
    "abbrev abs acldefault aclexplode acos acosd acosh age akeys all amvalidate analyse "
    "analyze and any any_value area armor array array_agg array_dims array_fill array_larger "
    "array_length array_lower array_ndims array_position array_positions array_remove "
    "array_replace array_reverse array_sample array_shuffle array_smaller array_sort "
    "array_to_json array_to_string array_to_tsvector array_upper as asc ascii asin asind "
    "asinh asymmetric atan atan2 atan2d atand atanh authorization avals avg between bigint "
    "binary bit bit_and bit_count bit_length bit_or bit_xor bool_and bool_or "
    "booland_statefunc boolean boolor_statefunc both box bpchar bpchar_larger bpchar_smaller "
    "broadcast by cardinality case casefold cash_words cashlarger cashsmaller cast cbrt ceil "
    "ceiling center char char_length character character_length check chr cidr circle "
    "clock_timestamp coalesce col_description collate collation column concat concat_ws "
    "concurrently conflict constraint convert convert_from convert_to corr cos cosd cosh cot "
    "cotd count covar_pop covar_samp crc32 crc32c create cross crosstab crypt cube cume_dist "
    "current_catalog current_database current_date current_query current_role current_schema "
    "current_schemas current_setting current_time current_timestamp current_user currtid2 "
    "currval cursor_to_xml cursor_to_xmlschema cycle database_to_xml "
    "database_to_xml_and_xmlschema database_to_xmlschema date date_add date_bin date_larger "
    "date_part date_smaller date_subtract date_trunc daterange daterange_canonical dearmor "
    "dec decimal decode decrypt default deferrable degrees dense_rank desc dexp diagonal "
    "diameter difference digest distinct div dlog1 dlog10 dmetaphone do dround dtrunc each "
    "else encode encrypt end enum_first enum_in enum_larger enum_last enum_out enum_range "
    "enum_smaller erf erfc every except exists exp extract factorial false family fetch "
    "filter first_value float float4 float4larger float4smaller float8 float8_avg "
    "float8_corr float8_covar_pop float8_covar_samp float8_regr_avgx float8_regr_avgy "
    "float8_regr_intercept float8_regr_r2 float8_regr_slope float8_regr_sxx float8_regr_sxy "
    "float8_regr_syy float8_stddev_pop float8_stddev_samp float8_var_pop float8_var_samp "
    "float8larger float8smaller floor for foreign format format_type freeze from full gamma "
    "gcd gen_random_bytes gen_random_uuid gen_salt generate_series generate_subscripts "
    "get_bit get_byte get_current_ts_config getdatabaseencoding getpgusername grant greatest "
    "group grouping groups has_any_column_privilege has_column_privilege "
    "has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege "
    "has_language_privilege has_parameter_privilege has_schema_privilege "
    "has_sequence_privilege has_server_privilege has_table_privilege "
    "has_tablespace_privilege has_type_privilege hashtext hashtextextended having height "
    "hmac host hostmask hstore ilike in inet_client_addr inet_client_port inet_server_addr "
    "inet_server_port initcap initially inner inout int int2 int2_sum int2int4_sum "
    "int2larger int2smaller int4 int4_sum int4inc int4larger int4range int4range_canonical "
    "int4smaller int8 int8_avg int8_sum int8dec int8dec_any int8inc int8inc_any "
    "int8inc_float8_float8 int8larger int8range int8range_canonical int8smaller integer "
    "intersect interval interval_avg interval_larger interval_smaller into is is_normalized "
    "isclosed isempty isfinite ishorizontal isnull isopen isparallel isperp isvertical join "
    "json_agg json_array json_array_elements json_array_elements_text json_array_length "
    "json_arrayagg json_build_array json_build_object json_each json_each_text json_exists "
    "json_object json_object_agg json_object_keys json_objectagg json_populate_record "
    "json_populate_recordset json_query json_scalar json_serialize json_strip_nulls "
    "json_table json_to_record json_to_recordset json_to_tsvector json_typeof json_value "
    "jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length "
    "jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_insert "
    "jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz "
    "jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array "
    "jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz "
    "jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_pretty "
    "jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset "
    "jsonb_to_tsvector jsonb_typeof justify_days justify_hours justify_interval key lag "
    "last_value lastval lateral lcm lead leading least left length levenshtein lgamma like "
    "like_escape limit line ln lo_get localtime localtimestamp log log10 loread lower "
    "lower_inc lower_inf lowrite lpad lseg ltrim macaddr macaddr8 macaddr8_set7bit make_date "
    "make_interval make_time make_timestamp make_timestamptz makeaclitem masklen "
    "materialized max md5 merge_action metaphone min min_scale mod mode money multirange "
    "mxid_age name nameconcatoid national natural nchar netmask network network_larger "
    "network_smaller nextval none normal_rand normalize not notlike notnull now npoints "
    "nth_value ntile null nullif num_nonnulls num_nulls numeric numeric_div_trunc "
    "numeric_exp numeric_inc numeric_larger numeric_ln numeric_log numeric_smaller "
    "numeric_sqrt numnode numrange obj_description octet_length offset oidlarger oidsmaller "
    "oidvectortypes on only or order ordinality out outer over overlaps overlay parse_ident "
    "partition path pclose percent_rank percentile_cont percentile_disc phraseto_tsquery pi "
    "placing plainto_tsquery point polygon popen position pow power precision primary "
    "query_to_xml query_to_xml_and_xmlschema query_to_xmlschema querytree quote_ident "
    "quote_literal quote_nullable radians radius random random_normal range range_agg "
    "range_intersect_agg range_merge rank real recursive references regexp_count "
    "regexp_instr regexp_like regexp_match regexp_matches regexp_replace "
    "regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy "
    "regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy repeat replace "
    "returning reverse right rollup round row row_number row_security_active row_to_json "
    "rows rpad rtrim satisfies_hash_partition scale schema_to_xml "
    "schema_to_xml_and_xmlschema schema_to_xmlschema search select session_user set_bit "
    "set_byte set_config set_masklen setof sets setseed setval setweight sha224 sha256 "
    "sha384 sha512 shell_in shell_out shobj_description sign similar similar_escape "
    "similar_to_escape similarity sin sind sinh skeys slope smallint some soundex split_part "
    "sqrt starts_with statement_timestamp stddev stddev_pop stddev_samp "
    "strict_word_similarity string_agg string_to_array string_to_table strip strpos substr "
    "substring sum svals symmetric system_user table table_to_xml table_to_xml_and_xmlschema "
    "table_to_xmlschema tablesample tan tand tanh text text_larger text_smaller textlen then "
    "tidlarger tidsmaller time time_larger time_smaller timeofday timestamp timestamp_larger "
    "timestamp_smaller timestamptz timestamptz_larger timestamptz_smaller timetz "
    "timetz_larger timetz_smaller timezone to to_ascii to_bin to_char to_date to_hex to_json "
    "to_jsonb to_number to_oct to_regclass to_regcollation to_regnamespace to_regoper "
    "to_regoperator to_regproc to_regprocedure to_regrole to_regtype to_timestamp to_tsquery "
    "to_tsvector trailing transaction_timestamp translate treat trim trim_array trim_scale "
    "true trunc ts_debug ts_delete ts_filter ts_headline ts_lexize ts_parse ts_rank "
    "ts_rank_cd ts_rewrite ts_stat ts_token_type tsrange tstzrange tsvector_to_array "
    "txid_current txid_current_if_assigned txid_current_snapshot txid_snapshot_xip "
    "txid_snapshot_xmax txid_snapshot_xmin txid_status txid_visible_in_snapshot unaccent "
    "unicode_assigned union unique unistr unnest upper upper_inc upper_inf user using "
    "uuid_extract_timestamp uuid_extract_version uuid_generate_v1 uuid_generate_v1mc "
    "uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuidv4 uuidv7 values var_pop "
    "var_samp varbit varchar variadic variance verbose version websearch_to_tsquery when "
    "where width width_bucket window with within word_similarity xid8_larger xid8_smaller "
    "xml xml_is_well_formed xml_is_well_formed_content xml_is_well_formed_document xmlagg "
    "xmlattributes xmlcomment xmlconcat xmlconcat2 xmlelement xmlexists xmlforest "
    "xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable xmltext xmlvalidate xpath "
    "xpath_exists ";

std::vector<std::string_view> Split() {
  std::vector<std::string_view> names;
  for (std::string_view rest = kNames; !rest.empty();) {
    const size_t end = rest.find(' ');
    names.push_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  return names;
}

}  // namespace

bool IsBuiltin(std::string_view name) {
  static const std::vector<std::string_view> kSorted = Split();
  return name.starts_with("pg_") || std::binary_search(kSorted.begin(), kSorted.end(), name);
}

}  // namespace sql
