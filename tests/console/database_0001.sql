BEGIN TRANSACTION;
CREATE TABLE activities (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	operation VARCHAR NOT NULL, 
	target_identity VARCHAR NOT NULL, 
	target_id VARCHAR NOT NULL, 
	target_name VARCHAR NOT NULL, 
	author VARCHAR NOT NULL, 
	source VARCHAR NOT NULL, 
	message VARCHAR NOT NULL, 
	diff JSON NOT NULL, 
	revision BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_activities PRIMARY KEY (id)
);
INSERT INTO "activities" VALUES('01a208355b99c2c55b8ab09d','/',1795434044305394,'create','namespace','01a208355b91f1649bae40f1','/','console','','create namespace  /','{}',1,1);
INSERT INTO "activities" VALUES('01a208355b9987dcbe92b525','/',1795434044305394,'create','appcredential','01a208355b94a0aceed0d661','administrator','console','','create appcredential / administrator','{}',1,1);
INSERT INTO "activities" VALUES('01a208355c1f6cb0b3ee4a3e','/',1795434044442696,'create','namespace','01a208355c1b12d589a921fc','/acme','appcredential / administrator','127.0.0.1','create namespace / /acme','{}',2,1);
INSERT INTO "activities" VALUES('01a208355c543b723899550a','/acme',1795434044497013,'create','namespace','01a208355c5183e044e3e6ee','/acme/prod','appcredential / administrator','127.0.0.1','create namespace /acme /acme/prod','{}',3,1);
INSERT INTO "activities" VALUES('01a208355c87eed71b340dd1','/acme/prod',1795434044548131,'create','namespace','01a208355c8424d9072f2c03','/acme/prod/shop','appcredential / administrator','127.0.0.1','create namespace /acme/prod /acme/prod/shop','{}',4,1);
INSERT INTO "activities" VALUES('01a208355cbbdce95b068f74','/acme/prod',1795434044600216,'create','externalnetwork','01a208355cb8ce81a3f13bad','office','appcredential / administrator','127.0.0.1','create externalnetwork /acme/prod office','{}',5,1);
INSERT INTO "activities" VALUES('01a208355cf0823c8aaa4386','/acme/prod',1795434044652395,'create','networkrulesetpolicy','01a208355cec328a2c7d87fa','db','appcredential / administrator','127.0.0.1','create networkrulesetpolicy /acme/prod db','{}',6,1);
INSERT INTO "activities" VALUES('01a208355d2403c8c4b24f16','/acme/prod/shop',1795434044705051,'create','networkrulesetpolicy','01a208355d21cdb7c53d918a','web','appcredential / administrator','127.0.0.1','create networkrulesetpolicy /acme/prod/shop web','{}',7,1);
INSERT INTO "activities" VALUES('01a208355d5c671d8e2c362a','/acme',1795434044757577,'create','networkrulesetpolicy','01a208355d568849899fe2ff','wide','appcredential / administrator','127.0.0.1','create networkrulesetpolicy /acme wide','{}',8,1);
INSERT INTO "activities" VALUES('01a208355d95bec7aecd2c13','/',1795434044816880,'create','token','01a208355d91ef5ee222858c','spare','appcredential / administrator','127.0.0.1','create token / spare','{}',0,1);
INSERT INTO "activities" VALUES('01a20835618e08eea520a548','/acme',1795434045836483,'create','appcredential','01a20835618d434c617da895','eye','appcredential / administrator','127.0.0.1','create appcredential /acme eye','{}',0,1);
INSERT INTO "activities" VALUES('01a2083561984162b6e52dd9','/acme/prod',1795434045846884,'create','token','01a208356197524698aad22f','token-e5165647','appcredential / administrator','127.0.0.1','create token /acme/prod token-e5165647','{}',0,1);
INSERT INTO "activities" VALUES('01a2083561d66b0bf6071870','/acme/prod',1795434045899604,'enrol','token','01a208356197524698aad22f','token-e5165647','enrolment','127.0.0.1','update token /acme/prod token-e5165647','{"used": ["0", "1"]}',9,1);
INSERT INTO "activities" VALUES('01a2083561d6a8db1de63629','/acme/prod',1795434045899604,'enrol','enforcer','01a2083561d1a428cc0d472c','edge','enrolment','127.0.0.1','create enforcer /acme/prod edge','{}',9,1);
INSERT INTO "activities" VALUES('01a2083562161c378acd8aee','/acme/prod/shop',1795434045972419,'create','token','01a208356215ac3ed4bcab5e','token-d4aae5fc','appcredential / administrator','127.0.0.1','create token /acme/prod/shop token-d4aae5fc','{}',0,1);
INSERT INTO "activities" VALUES('01a20835624bcf7c3385de7c','/acme/prod/shop',1795434046022020,'enrol','token','01a208356215ac3ed4bcab5e','token-d4aae5fc','enrolment','127.0.0.1','update token /acme/prod/shop token-d4aae5fc','{"used": ["0", "1"]}',10,1);
INSERT INTO "activities" VALUES('01a20835624c057d23ffa6a5','/acme/prod/shop',1795434046022020,'enrol','enforcer','01a2083562480d9f27e0039d','db','enrolment','127.0.0.1','create enforcer /acme/prod/shop db','{}',10,1);
INSERT INTO "activities" VALUES('01a2083562af6bb102339c53','/acme/prod',1795434046124724,'update','enforcer','01a2083561d1a428cc0d472c','edge','enforcer /acme/prod edge','127.0.0.1','update enforcer /acme/prod edge','{}',11,1);
INSERT INTO "activities" VALUES('01a2083562ea458488391e51','/acme/prod/shop',1795434046184157,'update','enforcer','01a2083562480d9f27e0039d','db','enforcer /acme/prod/shop db','127.0.0.1','update enforcer /acme/prod/shop db','{}',12,1);
INSERT INTO "activities" VALUES('01a2083562f337fda97a9ec1','/acme/prod',1795434046189952,'create','processingunit','01a2083562ef6adabfe61cc2','web-1','enforcer /acme/prod edge','127.0.0.1','create processingunit /acme/prod web-1','{}',13,1);
INSERT INTO "activities" VALUES('01a2083562f4210e2e8c7e9f','/acme/prod/shop',1795434046189952,'create','processingunit','01a2083562f13ac1543d0b8e','web-2','enforcer /acme/prod edge','127.0.0.1','create processingunit /acme/prod/shop web-2','{}',13,1);
INSERT INTO "activities" VALUES('01a2083562f9c603202df8eb','/acme/prod/shop',1795434046198233,'create','processingunit','01a2083562f73ce25d83aac7','pg','enforcer /acme/prod/shop db','127.0.0.1','create processingunit /acme/prod/shop pg','{}',14,1);
INSERT INTO "activities" VALUES('01a2083562fa678724300976','/acme/prod/shop',1795434046198233,'create','processingunit','01a2083562f866cb1e816f4b','gone','enforcer /acme/prod/shop db','127.0.0.1','create processingunit /acme/prod/shop gone','{}',14,1);
INSERT INTO "activities" VALUES('01a2083562ff58ca70d34113','/acme/prod/shop',1795434046203950,'update','processingunit','01a2083562f866cb1e816f4b','gone','enforcer /acme/prod/shop db','127.0.0.1','update processingunit /acme/prod/shop gone','{"operationalStatus": ["\"Running\"", "\"Terminated\""]}',15,1);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('console_0001');
CREATE TABLE answers (
	credential_id VARCHAR NOT NULL, 
	"key" VARCHAR NOT NULL, 
	request_hash BLOB NOT NULL, 
	status BIGINT NOT NULL, 
	headers JSON NOT NULL, 
	body BLOB NOT NULL, 
	time BIGINT NOT NULL, 
	CONSTRAINT pk_answers PRIMARY KEY (credential_id, "key")
);
CREATE TABLE appcredentials (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	roles JSON NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	secret_hash BLOB NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_appcredentials PRIMARY KEY (id), 
	CONSTRAINT uq_appcredentials_namespace_name UNIQUE (namespace, name)
);
INSERT INTO "appcredentials" VALUES('01a208355b94a0aceed0d661','/',1795434044305394,'administrator','',1795434044305394,'{}',0,'["namespace.administrator"]',0,X'A218F4BE442F068CE9A1FDBFDD741B5E35B258BC8F59F64A79123A15452D987C',1);
INSERT INTO "appcredentials" VALUES('01a20835618d434c617da895','/acme',1795434045836483,'eye','',1795434045836483,'{}',0,'["namespace.viewer"]',0,X'B1F90E121FEC5CEF9A13774B36341130AB8E4318702F2323518912C3BBC84CFB',1);
CREATE TABLE counters (
	name VARCHAR NOT NULL, 
	value BIGINT NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
);
INSERT INTO "counters" VALUES('revision',15);
CREATE TABLE enforcers (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	associated_tags JSON NOT NULL, 
	normalized_tags JSON NOT NULL, 
	fqdn VARCHAR NOT NULL, 
	machine_id VARCHAR NOT NULL, 
	operational_status VARCHAR NOT NULL, 
	unreachable BOOLEAN NOT NULL, 
	last_sync_time BIGINT, 
	current_version VARCHAR NOT NULL, 
	kernel VARCHAR NOT NULL, 
	datapath VARCHAR NOT NULL, 
	key_epoch BIGINT NOT NULL, 
	enforced_revision BIGINT NOT NULL, 
	refused_revision BIGINT NOT NULL, 
	refused_reason VARCHAR NOT NULL, 
	lost_reports BIGINT NOT NULL, 
	problems JSON NOT NULL, 
	rss_bytes BIGINT NOT NULL, 
	counters JSON NOT NULL, 
	certificate VARCHAR NOT NULL, 
	public_key BLOB NOT NULL, 
	datapath_keys BLOB NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_enforcers PRIMARY KEY (id), 
	CONSTRAINT uq_enforcers_namespace_name UNIQUE (namespace, name), 
	CONSTRAINT uq_enforcers_public_key UNIQUE (public_key)
);
INSERT INTO "enforcers" VALUES('01a2083561d1a428cc0d472c','/acme/prod',1795434045899604,'edge','',1795434046124724,'{}',0,'[]','["$id=01a2083561d1a428cc0d472c", "$identity=enforcer", "$name=edge", "$namespace=/acme/prod", "@org:group=prod", "@org:tenant=acme"]','edge.example.com','m-1','Disconnected',0,1795434047442799,'0.1.0','6.18','ebpf',1,14,0,'',0,'[]',0,'{}','-----BEGIN CERTIFICATE-----
MIIBsTCCAVegAwIBAgIUAJfGRk7RXiZcxKKFFIOzbh2GWs8wCgYIKoZIzj0EAwIw
LTErMCkGA1UEAwwiV2F0Y2h3b3JkIENvbnNvbGUgYTU3OWNhZTE3ZDM0NDVkODAe
Fw0yNjExMjIxMTQwNDVaFw0yNzExMjMxMTQwNDVaMCMxITAfBgNVBAMMGDAxYTIw
ODM1NjFkMWE0MjhjYzBkNDcyYzAqMAUGAytlcAMhAB+Cj6O6EOKLKAiMsB2Fh7pp
mNuWzzG/8kd2V7sQpw8Vo4GNMIGKMAwGA1UdEwEB/wQCMAAwDgYDVR0PAQH/BAQD
AgeAMB8GA1UdIwQYMBaAFCDtD3Rn7UGbvyRtHAvaGjtiVzISMEkGA1UdEQEB/wQ/
MD2GO3NwaWZmZTovL2E1NzljYWUxN2QzNDQ1ZDgvZW5mb3JjZXIvMDFhMjA4MzU2
MWQxYTQyOGNjMGQ0NzJjMAoGCCqGSM49BAMCA0gAMEUCIQCXTSEDGXy/yeOXvLfd
Ayk33ANoAakXU52qgqd1u04ouwIgTR+aH10HA5vSqIwAAIATqdz56fqzBaq2X2y8
5rwcIRE=
-----END CERTIFICATE-----
',X'1F828FA3BA10E28B28088CB01D8587BA6998DB96CF31BFF2477657BB10A70F15',X'9183A565706F636801A67075626C6963C4201B7BBA16AB15866E85CB96416821A4BAE5DCAFAC7C81EADA7BC68EB3E0DF1A0CA97369676E6174757265C44068A299AB05B1B8515ABD725B907467739C27ECC9A3CD7D138CE163AF25DE15EDF6840AB2B5ADF759AA960D0362FD52A9B62192B479F1BD250C5A36D907AF880A',2);
INSERT INTO "enforcers" VALUES('01a2083562480d9f27e0039d','/acme/prod/shop',1795434046022020,'db','',1795434046184157,'{}',0,'[]','["$id=01a2083562480d9f27e0039d", "$identity=enforcer", "$name=db", "$namespace=/acme/prod/shop", "@org:group=prod", "@org:tenant=acme"]','db.example.com','m-1','Disconnected',0,1795434047442332,'0.1.0','6.18','ebpf',1,14,0,'',0,'[]',0,'{}','-----BEGIN CERTIFICATE-----
MIIBsTCCAVagAwIBAgITe7JBUepcyLAFW4o1FUlUUTj7fTAKBggqhkjOPQQDAjAt
MSswKQYDVQQDDCJXYXRjaHdvcmQgQ29uc29sZSBhNTc5Y2FlMTdkMzQ0NWQ4MB4X
DTI2MTEyMjExNDA0NloXDTI3MTEyMzExNDA0NlowIzEhMB8GA1UEAwwYMDFhMjA4
MzU2MjQ4MGQ5ZjI3ZTAwMzlkMCowBQYDK2VwAyEA5z01iDMbgo3ZCkeKhLZMdCyW
3N0VGsypaW+/w1MUoYKjgY0wgYowDAYDVR0TAQH/BAIwADAOBgNVHQ8BAf8EBAMC
B4AwHwYDVR0jBBgwFoAUIO0PdGftQZu/JG0cC9oaO2JXMhIwSQYDVR0RAQH/BD8w
PYY7c3BpZmZlOi8vYTU3OWNhZTE3ZDM0NDVkOC9lbmZvcmNlci8wMWEyMDgzNTYy
NDgwZDlmMjdlMDAzOWQwCgYIKoZIzj0EAwIDSQAwRgIhALzjTH8pIFDCXvexs2lw
JCMKCrNS/8CqYOGcgCx58hqWAiEAgzQwhMdmxF5qoJ9sQkhLqP3mYR+uFL9wVtiW
VZs1z9A=
-----END CERTIFICATE-----
',X'E73D3588331B828DD90A478A84B64C742C96DCDD151ACCA9696FBFC35314A182',X'9183A565706F636801A67075626C6963C420AA2CD800D0152304D727D221D7D2A0781FDE45803F1D3FD29C2766C120A3CC1DA97369676E6174757265C440BCEF8922DAAC909322EF70814A1B5A0EFACCDB7AFC5E3376D07B3A2F5C778A21A03E191C52260B7C764A92C79A62F17C75C1C3E27FF9713BADBA3E5364FB6006',2);
CREATE TABLE enrolments (
	token_id VARCHAR NOT NULL, 
	public_key BLOB NOT NULL, 
	enforcer_id VARCHAR NOT NULL, 
	CONSTRAINT pk_enrolments PRIMARY KEY (token_id, public_key)
);
INSERT INTO "enrolments" VALUES('01a208356197524698aad22f',X'1F828FA3BA10E28B28088CB01D8587BA6998DB96CF31BFF2477657BB10A70F15','01a2083561d1a428cc0d472c');
INSERT INTO "enrolments" VALUES('01a208356215ac3ed4bcab5e',X'E73D3588331B828DD90A478A84B64C742C96DCDD151ACCA9696FBFC35314A182','01a2083562480d9f27e0039d');
CREATE TABLE evicted_keys (
	public_key BLOB NOT NULL, 
	enforcer_id VARCHAR NOT NULL, 
	time BIGINT NOT NULL, 
	CONSTRAINT pk_evicted_keys PRIMARY KEY (public_key)
);
CREATE TABLE externalnetworks (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	associated_tags JSON NOT NULL, 
	normalized_tags JSON NOT NULL, 
	entries JSON NOT NULL, 
	propagate BOOLEAN NOT NULL, 
	identity_required BOOLEAN NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_externalnetworks PRIMARY KEY (id), 
	CONSTRAINT uq_externalnetworks_namespace_name UNIQUE (namespace, name)
);
INSERT INTO "externalnetworks" VALUES('01a208355cb8ce81a3f13bad','/acme/prod',1795434044600216,'office','',1795434044600216,'{}',0,'["net=office"]','["$id=01a208355cb8ce81a3f13bad", "$identity=externalnetwork", "$name=office", "$namespace=/acme/prod", "@org:group=prod", "@org:tenant=acme", "net=office"]','["198.51.100.7/24", "198.51.100.9", "!198.51.100.128/25", "2001:DB8::/32"]',1,0,1);
CREATE TABLE namespaces (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	type VARCHAR NOT NULL, 
	default_pu_incoming_traffic_action VARCHAR NOT NULL, 
	default_pu_outgoing_traffic_action VARCHAR NOT NULL, 
	tag_prefixes JSON NOT NULL, 
	organizational_metadata JSON NOT NULL, 
	offline_max_age BIGINT NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_namespaces PRIMARY KEY (id), 
	CONSTRAINT uq_namespaces_name UNIQUE (name)
);
INSERT INTO "namespaces" VALUES('01a208355b91f1649bae40f1','',1795434044305394,'/','Everything. Starts in discovery: flows that no ruleset decides are allowed and reported.',1795434044305394,'{}',1,'Default','Allow','Allow','[]','[]',0,1);
INSERT INTO "namespaces" VALUES('01a208355c1b12d589a921fc','/',1795434044442696,'/acme','',1795434044442696,'{}',0,'Tenant','Reject','Reject','[]','["@org:tenant=acme"]',3600,1);
INSERT INTO "namespaces" VALUES('01a208355c5183e044e3e6ee','/acme',1795434044497013,'/acme/prod','',1795434044497013,'{}',0,'Group','Inherit','Inherit','["app=", "$name=", "net="]','["@org:group=prod"]',0,1);
INSERT INTO "namespaces" VALUES('01a208355c8424d9072f2c03','/acme/prod',1795434044548131,'/acme/prod/shop','',1795434044548131,'{"owner": ["team-a"]}',0,'Default','Inherit','Inherit','[]','[]',0,1);
CREATE TABLE networkrulesetpolicies (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	subject JSON NOT NULL, 
	incoming_rules JSON NOT NULL, 
	outgoing_rules JSON NOT NULL, 
	propagate BOOLEAN NOT NULL, 
	fallback BOOLEAN NOT NULL, 
	disabled BOOLEAN NOT NULL, 
	associated_tags JSON NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_networkrulesetpolicies PRIMARY KEY (id), 
	CONSTRAINT uq_networkrulesetpolicies_namespace_name UNIQUE (namespace, name)
);
INSERT INTO "networkrulesetpolicies" VALUES('01a208355cec328a2c7d87fa','/acme/prod',1795434044652395,'db','',1795434044652395,'{}',1,'[["app=db"]]','[{"name": "", "action": "Allow", "object": [["app=web"]], "protocolPorts": ["tcp/5432"], "logsDisabled": false, "observationEnabled": false}, {"name": "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn", "action": "Reject", "object": [["app=web"], ["net=office"]], "protocolPorts": ["tcp/80", "TCP/80:90", "icmp/3/1,4:7"], "logsDisabled": false, "observationEnabled": true}]','[]',1,0,0,'[]',1);
INSERT INTO "networkrulesetpolicies" VALUES('01a208355d21cdb7c53d918a','/acme/prod/shop',1795434044705051,'web','shop
front',1795434044705051,'{}',0,'[["app=web"]]','[]','[{"name": "", "action": "Allow", "object": [["app=db"]], "protocolPorts": ["tcp/5432"], "logsDisabled": false, "observationEnabled": false}]',0,0,0,'["owner=shop"]',1);
INSERT INTO "networkrulesetpolicies" VALUES('01a208355d568849899fe2ff','/acme',1795434044757577,'wide','',1795434044757577,'{"k0": ["v"], "k1": ["v"], "k2": ["v"], "k3": ["v"], "k4": ["v"], "k5": ["v"], "k6": ["v"], "k7": ["v"], "k8": ["v"], "k9": ["v"], "k10": ["v"], "k11": ["v"], "k12": ["v"], "k13": ["v"], "k14": ["v"], "k15": ["v"], "k16": ["v"], "k17": ["v"], "k18": ["v"], "k19": ["v"], "k20": ["v"], "k21": ["v"], "k22": ["v"], "k23": ["v"], "k24": ["v"], "k25": ["v"], "k26": ["v"], "k27": ["v"], "k28": ["v"], "k29": ["v"], "k30": ["v"], "k31": ["v"], "k32": ["v"], "k33": ["v"], "k34": ["v"], "k35": ["v"], "k36": ["v"], "k37": ["v"], "k38": ["v"], "k39": ["v"], "k40": ["v"], "k41": ["v"], "k42": ["v"], "k43": ["v"], "k44": ["v"], "k45": ["v"], "k46": ["v"], "k47": ["v"], "k48": ["v"], "k49": ["v"], "k50": ["v"], "k51": ["v"], "k52": ["v"], "k53": ["v"], "k54": ["v"], "k55": ["v"], "k56": ["v"], "k57": ["v"], "k58": ["v"], "k59": ["v"], "k60": ["v"], "k61": ["v"], "k62": ["v"], "k63": ["v"], "k64": ["v"], "k65": ["v"], "k66": ["v"], "k67": ["v"], "k68": ["v"], "k69": ["v"], "k70": ["v"], "k71": ["v"], "k72": ["v"], "k73": ["v"], "k74": ["v"], "k75": ["v"], "k76": ["v"], "k77": ["v"], "k78": ["v"], "k79": ["v"], "k80": ["v"], "k81": ["v"], "k82": ["v"], "k83": ["v"], "k84": ["v"], "k85": ["v"], "k86": ["v"], "k87": ["v"], "k88": ["v"], "k89": ["v"], "k90": ["v"], "k91": ["v"], "k92": ["v"], "k93": ["v"], "k94": ["v"], "k95": ["v"], "k96": ["v"], "k97": ["v"], "k98": ["v"], "k99": ["v"], "k100": ["v"], "k101": ["v"], "k102": ["v"], "k103": ["v"], "k104": ["v"], "k105": ["v"], "k106": ["v"], "k107": ["v"], "k108": ["v"], "k109": ["v"], "k110": ["v"], "k111": ["v"], "k112": ["v"], "k113": ["v"], "k114": ["v"], "k115": ["v"], "k116": ["v"], "k117": ["v"], "k118": ["v"], "k119": ["v"], "k120": ["v"], "k121": ["v"], "k122": ["v"], "k123": ["v"], "k124": ["v"], "k125": ["v"], "k126": ["v"], "k127": ["v"], "k128": ["v"], "k129": ["v"], "k130": ["v"], "k131": ["v"], "k132": ["v"], "k133": ["v"], "k134": ["v"], "k135": ["v"], "k136": ["v"], "k137": ["v"], "k138": ["v"], "k139": ["v"], "k140": ["v"], "k141": ["v"], "k142": ["v"], "k143": ["v"], "k144": ["v"], "k145": ["v"], "k146": ["v"], "k147": ["v"], "k148": ["v"], "k149": ["v"], "k150": ["v"], "k151": ["v"], "k152": ["v"], "k153": ["v"], "k154": ["v"], "k155": ["v"], "k156": ["v"], "k157": ["v"], "k158": ["v"], "k159": ["v"], "k160": ["v"], "k161": ["v"], "k162": ["v"], "k163": ["v"], "k164": ["v"], "k165": ["v"], "k166": ["v"], "k167": ["v"], "k168": ["v"], "k169": ["v"], "k170": ["v"], "k171": ["v"], "k172": ["v"], "k173": ["v"], "k174": ["v"], "k175": ["v"], "k176": ["v"], "k177": ["v"], "k178": ["v"], "k179": ["v"], "k180": ["v"], "k181": ["v"], "k182": ["v"], "k183": ["v"], "k184": ["v"], "k185": ["v"], "k186": ["v"], "k187": ["v"], "k188": ["v"], "k189": ["v"], "k190": ["v"], "k191": ["v"], "k192": ["v"], "k193": ["v"], "k194": ["v"], "k195": ["v"], "k196": ["v"], "k197": ["v"], "k198": ["v"], "k199": ["v"], "k200": ["v"], "k201": ["v"], "k202": ["v"], "k203": ["v"], "k204": ["v"], "k205": ["v"], "k206": ["v"], "k207": ["v"], "k208": ["v"], "k209": ["v"], "k210": ["v"], "k211": ["v"], "k212": ["v"], "k213": ["v"], "k214": ["v"], "k215": ["v"], "k216": ["v"], "k217": ["v"], "k218": ["v"], "k219": ["v"], "k220": ["v"], "k221": ["v"], "k222": ["v"], "k223": ["v"], "k224": ["v"], "k225": ["v"], "k226": ["v"], "k227": ["v"], "k228": ["v"], "k229": ["v"], "k230": ["v"], "k231": ["v"], "k232": ["v"], "k233": ["v"], "k234": ["v"], "k235": ["v"], "k236": ["v"], "k237": ["v"], "k238": ["v"], "k239": ["v"], "k240": ["v"], "k241": ["v"], "k242": ["v"], "k243": ["v"], "k244": ["v"], "k245": ["v"], "k246": ["v"], "k247": ["v"], "k248": ["v"], "k249": ["v"], "k250": ["v"], "k251": ["v"], "k252": ["v"], "k253": ["v"], "k254": ["v"], "k255": ["v"], "k256": ["v"], "k257": ["v"], "k258": ["v"], "k259": ["v"], "k260": ["v"], "k261": ["v"], "k262": ["v"], "k263": ["v"], "k264": ["v"], "k265": ["v"], "k266": ["v"], "k267": ["v"], "k268": ["v"], "k269": ["v"], "k270": ["v"], "k271": ["v"], "k272": ["v"], "k273": ["v"], "k274": ["v"], "k275": ["v"], "k276": ["v"], "k277": ["v"], "k278": ["v"], "k279": ["v"], "k280": ["v"], "k281": ["v"], "k282": ["v"], "k283": ["v"], "k284": ["v"], "k285": ["v"], "k286": ["v"], "k287": ["v"], "k288": ["v"], "k289": ["v"], "k290": ["v"], "k291": ["v"], "k292": ["v"], "k293": ["v"], "k294": ["v"], "k295": ["v"], "k296": ["v"], "k297": ["v"], "k298": ["v"], "k299": ["v"], "k300": ["v"], "k301": ["v"], "k302": ["v"], "k303": ["v"], "k304": ["v"], "k305": ["v"], "k306": ["v"], "k307": ["v"], "k308": ["v"], "k309": ["v"], "k310": ["v"], "k311": ["v"], "k312": ["v"], "k313": ["v"], "k314": ["v"], "k315": ["v"], "k316": ["v"], "k317": ["v"], "k318": ["v"], "k319": ["v"], "k320": ["v"], "k321": ["v"], "k322": ["v"], "k323": ["v"], "k324": ["v"], "k325": ["v"], "k326": ["v"], "k327": ["v"], "k328": ["v"], "k329": ["v"], "k330": ["v"], "k331": ["v"], "k332": ["v"], "k333": ["v"], "k334": ["v"], "k335": ["v"], "k336": ["v"], "k337": ["v"], "k338": ["v"], "k339": ["v"], "k340": ["v"], "k341": ["v"], "k342": ["v"], "k343": ["v"], "k344": ["v"], "k345": ["v"], "k346": ["v"], "k347": ["v"], "k348": ["v"], "k349": ["v"], "k350": ["v"], "k351": ["v"], "k352": ["v"], "k353": ["v"], "k354": ["v"], "k355": ["v"], "k356": ["v"], "k357": ["v"], "k358": ["v"], "k359": ["v"], "k360": ["v"], "k361": ["v"], "k362": ["v"], "k363": ["v"], "k364": ["v"], "k365": ["v"], "k366": ["v"], "k367": ["v"], "k368": ["v"], "k369": ["v"], "k370": ["v"], "k371": ["v"], "k372": ["v"], "k373": ["v"], "k374": ["v"], "k375": ["v"], "k376": ["v"], "k377": ["v"], "k378": ["v"], "k379": ["v"], "k380": ["v"], "k381": ["v"], "k382": ["v"], "k383": ["v"], "k384": ["v"], "k385": ["v"], "k386": ["v"], "k387": ["v"], "k388": ["v"], "k389": ["v"], "k390": ["v"], "k391": ["v"], "k392": ["v"], "k393": ["v"], "k394": ["v"], "k395": ["v"], "k396": ["v"], "k397": ["v"], "k398": ["v"], "k399": ["v"], "k400": ["v"], "k401": ["v"], "k402": ["v"], "k403": ["v"], "k404": ["v"], "k405": ["v"], "k406": ["v"], "k407": ["v"], "k408": ["v"], "k409": ["v"], "k410": ["v"], "k411": ["v"], "k412": ["v"], "k413": ["v"], "k414": ["v"], "k415": ["v"], "k416": ["v"], "k417": ["v"], "k418": ["v"], "k419": ["v"], "k420": ["v"], "k421": ["v"], "k422": ["v"], "k423": ["v"], "k424": ["v"], "k425": ["v"], "k426": ["v"], "k427": ["v"], "k428": ["v"], "k429": ["v"], "k430": ["v"], "k431": ["v"], "k432": ["v"], "k433": ["v"], "k434": ["v"], "k435": ["v"], "k436": ["v"], "k437": ["v"], "k438": ["v"], "k439": ["v"], "k440": ["v"], "k441": ["v"], "k442": ["v"], "k443": ["v"], "k444": ["v"], "k445": ["v"], "k446": ["v"], "k447": ["v"], "k448": ["v"], "k449": ["v"], "k450": ["v"], "k451": ["v"], "k452": ["v"], "k453": ["v"], "k454": ["v"], "k455": ["v"], "k456": ["v"], "k457": ["v"], "k458": ["v"], "k459": ["v"], "k460": ["v"], "k461": ["v"], "k462": ["v"], "k463": ["v"], "k464": ["v"], "k465": ["v"], "k466": ["v"], "k467": ["v"], "k468": ["v"], "k469": ["v"], "k470": ["v"], "k471": ["v"], "k472": ["v"], "k473": ["v"], "k474": ["v"], "k475": ["v"], "k476": ["v"], "k477": ["v"], "k478": ["v"], "k479": ["v"], "k480": ["v"], "k481": ["v"], "k482": ["v"], "k483": ["v"], "k484": ["v"], "k485": ["v"], "k486": ["v"], "k487": ["v"], "k488": ["v"], "k489": ["v"], "k490": ["v"], "k491": ["v"], "k492": ["v"], "k493": ["v"], "k494": ["v"], "k495": ["v"], "k496": ["v"], "k497": ["v"], "k498": ["v"], "k499": ["v"], "k500": ["v"], "k501": ["v"], "k502": ["v"], "k503": ["v"], "k504": ["v"], "k505": ["v"], "k506": ["v"], "k507": ["v"], "k508": ["v"], "k509": ["v"], "k510": ["v"], "k511": ["v"], "k512": ["v"], "k513": ["v"], "k514": ["v"], "k515": ["v"], "k516": ["v"], "k517": ["v"], "k518": ["v"], "k519": ["v"], "k520": ["v"], "k521": ["v"], "k522": ["v"], "k523": ["v"], "k524": ["v"], "k525": ["v"], "k526": ["v"], "k527": ["v"], "k528": ["v"], "k529": ["v"], "k530": ["v"], "k531": ["v"], "k532": ["v"], "k533": ["v"], "k534": ["v"], "k535": ["v"], "k536": ["v"], "k537": ["v"], "k538": ["v"], "k539": ["v"], "k540": ["v"], "k541": ["v"], "k542": ["v"], "k543": ["v"], "k544": ["v"], "k545": ["v"], "k546": ["v"], "k547": ["v"], "k548": ["v"], "k549": ["v"], "k550": ["v"], "k551": ["v"], "k552": ["v"], "k553": ["v"], "k554": ["v"], "k555": ["v"], "k556": ["v"], "k557": ["v"], "k558": ["v"], "k559": ["v"], "k560": ["v"], "k561": ["v"], "k562": ["v"], "k563": ["v"], "k564": ["v"], "k565": ["v"], "k566": ["v"], "k567": ["v"], "k568": ["v"], "k569": ["v"], "k570": ["v"], "k571": ["v"], "k572": ["v"], "k573": ["v"], "k574": ["v"], "k575": ["v"], "k576": ["v"], "k577": ["v"], "k578": ["v"], "k579": ["v"], "k580": ["v"], "k581": ["v"], "k582": ["v"], "k583": ["v"], "k584": ["v"], "k585": ["v"], "k586": ["v"], "k587": ["v"], "k588": ["v"], "k589": ["v"], "k590": ["v"], "k591": ["v"], "k592": ["v"], "k593": ["v"], "k594": ["v"], "k595": ["v"], "k596": ["v"], "k597": ["v"], "k598": ["v"], "k599": ["v"]}',0,'[["app=a0"], ["app=a1"], ["app=a2"], ["app=a3"], ["app=a4"], ["app=a5"], ["app=a6"], ["app=a7"], ["app=a8"], ["app=a9"], ["app=a10"], ["app=a11"], ["app=a12"], ["app=a13"], ["app=a14"], ["app=a15"], ["app=a16"], ["app=a17"], ["app=a18"], ["app=a19"], ["app=a20"], ["app=a21"], ["app=a22"], ["app=a23"], ["app=a24"], ["app=a25"], ["app=a26"], ["app=a27"], ["app=a28"], ["app=a29"], ["app=a30"], ["app=a31"], ["app=a32"], ["app=a33"], ["app=a34"], ["app=a35"], ["app=a36"], ["app=a37"], ["app=a38"], ["app=a39"], ["app=a40"], ["app=a41"], ["app=a42"], ["app=a43"], ["app=a44"], ["app=a45"], ["app=a46"], ["app=a47"], ["app=a48"], ["app=a49"], ["app=a50"], ["app=a51"], ["app=a52"], ["app=a53"], ["app=a54"], ["app=a55"], ["app=a56"], ["app=a57"], ["app=a58"], ["app=a59"], ["app=a60"], ["app=a61"], ["app=a62"], ["app=a63"], ["app=a64"], ["app=a65"], ["app=a66"], ["app=a67"], ["app=a68"], ["app=a69"], ["app=a70"], ["app=a71"], ["app=a72"], ["app=a73"], ["app=a74"], ["app=a75"], ["app=a76"], ["app=a77"], ["app=a78"], ["app=a79"], ["app=a80"], ["app=a81"], ["app=a82"], ["app=a83"], ["app=a84"], ["app=a85"], ["app=a86"], ["app=a87"], ["app=a88"], ["app=a89"], ["app=a90"], ["app=a91"], ["app=a92"], ["app=a93"], ["app=a94"], ["app=a95"], ["app=a96"], ["app=a97"], ["app=a98"], ["app=a99"], ["app=a100"], ["app=a101"], ["app=a102"], ["app=a103"], ["app=a104"], ["app=a105"], ["app=a106"], ["app=a107"], ["app=a108"], ["app=a109"], ["app=a110"], ["app=a111"], ["app=a112"], ["app=a113"], ["app=a114"], ["app=a115"], ["app=a116"], ["app=a117"], ["app=a118"], ["app=a119"], ["app=a120"], ["app=a121"], ["app=a122"], ["app=a123"], ["app=a124"], ["app=a125"], ["app=a126"], ["app=a127"], ["app=a128"], ["app=a129"], ["app=a130"], ["app=a131"], ["app=a132"], ["app=a133"], ["app=a134"], ["app=a135"], ["app=a136"], ["app=a137"], ["app=a138"], ["app=a139"], ["app=a140"], ["app=a141"], ["app=a142"], ["app=a143"], ["app=a144"], ["app=a145"], ["app=a146"], ["app=a147"], ["app=a148"], ["app=a149"], ["app=a150"], ["app=a151"], ["app=a152"], ["app=a153"], ["app=a154"], ["app=a155"], ["app=a156"], ["app=a157"], ["app=a158"], ["app=a159"], ["app=a160"], ["app=a161"], ["app=a162"], ["app=a163"], ["app=a164"], ["app=a165"], ["app=a166"], ["app=a167"], ["app=a168"], ["app=a169"], ["app=a170"], ["app=a171"], ["app=a172"], ["app=a173"], ["app=a174"], ["app=a175"], ["app=a176"], ["app=a177"], ["app=a178"], ["app=a179"], ["app=a180"], ["app=a181"], ["app=a182"], ["app=a183"], ["app=a184"], ["app=a185"], ["app=a186"], ["app=a187"], ["app=a188"], ["app=a189"], ["app=a190"], ["app=a191"], ["app=a192"], ["app=a193"], ["app=a194"], ["app=a195"], ["app=a196"], ["app=a197"], ["app=a198"], ["app=a199"], ["app=a200"], ["app=a201"], ["app=a202"], ["app=a203"], ["app=a204"], ["app=a205"], ["app=a206"], ["app=a207"], ["app=a208"], ["app=a209"], ["app=a210"], ["app=a211"], ["app=a212"], ["app=a213"], ["app=a214"], ["app=a215"], ["app=a216"], ["app=a217"], ["app=a218"], ["app=a219"], ["app=a220"], ["app=a221"], ["app=a222"], ["app=a223"], ["app=a224"], ["app=a225"], ["app=a226"], ["app=a227"], ["app=a228"], ["app=a229"], ["app=a230"], ["app=a231"], ["app=a232"], ["app=a233"], ["app=a234"], ["app=a235"], ["app=a236"], ["app=a237"], ["app=a238"], ["app=a239"], ["app=a240"], ["app=a241"], ["app=a242"], ["app=a243"], ["app=a244"], ["app=a245"], ["app=a246"], ["app=a247"], ["app=a248"], ["app=a249"], ["app=a250"], ["app=a251"], ["app=a252"], ["app=a253"], ["app=a254"], ["app=a255"], ["app=a256"], ["app=a257"], ["app=a258"], ["app=a259"], ["app=a260"], ["app=a261"], ["app=a262"], ["app=a263"], ["app=a264"], ["app=a265"], ["app=a266"], ["app=a267"], ["app=a268"], ["app=a269"], ["app=a270"], ["app=a271"], ["app=a272"], ["app=a273"], ["app=a274"], ["app=a275"], ["app=a276"], ["app=a277"], ["app=a278"], ["app=a279"], ["app=a280"], ["app=a281"], ["app=a282"], ["app=a283"], ["app=a284"], ["app=a285"], ["app=a286"], ["app=a287"], ["app=a288"], ["app=a289"], ["app=a290"], ["app=a291"], ["app=a292"], ["app=a293"], ["app=a294"], ["app=a295"], ["app=a296"], ["app=a297"], ["app=a298"], ["app=a299"], ["app=a300"], ["app=a301"], ["app=a302"], ["app=a303"], ["app=a304"], ["app=a305"], ["app=a306"], ["app=a307"], ["app=a308"], ["app=a309"], ["app=a310"], ["app=a311"], ["app=a312"], ["app=a313"], ["app=a314"], ["app=a315"], ["app=a316"], ["app=a317"], ["app=a318"], ["app=a319"], ["app=a320"], ["app=a321"], ["app=a322"], ["app=a323"], ["app=a324"], ["app=a325"], ["app=a326"], ["app=a327"], ["app=a328"], ["app=a329"], ["app=a330"], ["app=a331"], ["app=a332"], ["app=a333"], ["app=a334"], ["app=a335"], ["app=a336"], ["app=a337"], ["app=a338"], ["app=a339"], ["app=a340"], ["app=a341"], ["app=a342"], ["app=a343"], ["app=a344"], ["app=a345"], ["app=a346"], ["app=a347"], ["app=a348"], ["app=a349"], ["app=a350"], ["app=a351"], ["app=a352"], ["app=a353"], ["app=a354"], ["app=a355"], ["app=a356"], ["app=a357"], ["app=a358"], ["app=a359"], ["app=a360"], ["app=a361"], ["app=a362"], ["app=a363"], ["app=a364"], ["app=a365"], ["app=a366"], ["app=a367"], ["app=a368"], ["app=a369"], ["app=a370"], ["app=a371"], ["app=a372"], ["app=a373"], ["app=a374"], ["app=a375"], ["app=a376"], ["app=a377"], ["app=a378"], ["app=a379"], ["app=a380"], ["app=a381"], ["app=a382"], ["app=a383"], ["app=a384"], ["app=a385"], ["app=a386"], ["app=a387"], ["app=a388"], ["app=a389"], ["app=a390"], ["app=a391"], ["app=a392"], ["app=a393"], ["app=a394"], ["app=a395"], ["app=a396"], ["app=a397"], ["app=a398"], ["app=a399"], ["app=a400"], ["app=a401"], ["app=a402"], ["app=a403"], ["app=a404"], ["app=a405"], ["app=a406"], ["app=a407"], ["app=a408"], ["app=a409"], ["app=a410"], ["app=a411"], ["app=a412"], ["app=a413"], ["app=a414"], ["app=a415"], ["app=a416"], ["app=a417"], ["app=a418"], ["app=a419"], ["app=a420"], ["app=a421"], ["app=a422"], ["app=a423"], ["app=a424"], ["app=a425"], ["app=a426"], ["app=a427"], ["app=a428"], ["app=a429"], ["app=a430"], ["app=a431"], ["app=a432"], ["app=a433"], ["app=a434"], ["app=a435"], ["app=a436"], ["app=a437"], ["app=a438"], ["app=a439"], ["app=a440"], ["app=a441"], ["app=a442"], ["app=a443"], ["app=a444"], ["app=a445"], ["app=a446"], ["app=a447"], ["app=a448"], ["app=a449"], ["app=a450"], ["app=a451"], ["app=a452"], ["app=a453"], ["app=a454"], ["app=a455"], ["app=a456"], ["app=a457"], ["app=a458"], ["app=a459"], ["app=a460"], ["app=a461"], ["app=a462"], ["app=a463"], ["app=a464"], ["app=a465"], ["app=a466"], ["app=a467"], ["app=a468"], ["app=a469"], ["app=a470"], ["app=a471"], ["app=a472"], ["app=a473"], ["app=a474"], ["app=a475"], ["app=a476"], ["app=a477"], ["app=a478"], ["app=a479"], ["app=a480"], ["app=a481"], ["app=a482"], ["app=a483"], ["app=a484"], ["app=a485"], ["app=a486"], ["app=a487"], ["app=a488"], ["app=a489"], ["app=a490"], ["app=a491"], ["app=a492"], ["app=a493"], ["app=a494"], ["app=a495"], ["app=a496"], ["app=a497"], ["app=a498"], ["app=a499"], ["app=a500"], ["app=a501"], ["app=a502"], ["app=a503"], ["app=a504"], ["app=a505"], ["app=a506"], ["app=a507"], ["app=a508"], ["app=a509"], ["app=a510"], ["app=a511"], ["app=a512"], ["app=a513"], ["app=a514"], ["app=a515"], ["app=a516"], ["app=a517"], ["app=a518"], ["app=a519"], ["app=a520"], ["app=a521"], ["app=a522"], ["app=a523"], ["app=a524"], ["app=a525"], ["app=a526"], ["app=a527"], ["app=a528"], ["app=a529"], ["app=a530"], ["app=a531"], ["app=a532"], ["app=a533"], ["app=a534"], ["app=a535"], ["app=a536"], ["app=a537"], ["app=a538"], ["app=a539"], ["app=a540"], ["app=a541"], ["app=a542"], ["app=a543"], ["app=a544"], ["app=a545"], ["app=a546"], ["app=a547"], ["app=a548"], ["app=a549"], ["app=a550"], ["app=a551"], ["app=a552"], ["app=a553"], ["app=a554"], ["app=a555"], ["app=a556"], ["app=a557"], ["app=a558"], ["app=a559"], ["app=a560"], ["app=a561"], ["app=a562"], ["app=a563"], ["app=a564"], ["app=a565"], ["app=a566"], ["app=a567"], ["app=a568"], ["app=a569"], ["app=a570"], ["app=a571"], ["app=a572"], ["app=a573"], ["app=a574"], ["app=a575"], ["app=a576"], ["app=a577"], ["app=a578"], ["app=a579"], ["app=a580"], ["app=a581"], ["app=a582"], ["app=a583"], ["app=a584"], ["app=a585"], ["app=a586"], ["app=a587"], ["app=a588"], ["app=a589"], ["app=a590"], ["app=a591"], ["app=a592"], ["app=a593"], ["app=a594"], ["app=a595"], ["app=a596"], ["app=a597"], ["app=a598"], ["app=a599"], ["app=a600"], ["app=a601"], ["app=a602"], ["app=a603"], ["app=a604"], ["app=a605"], ["app=a606"], ["app=a607"], ["app=a608"], ["app=a609"], ["app=a610"], ["app=a611"], ["app=a612"], ["app=a613"], ["app=a614"], ["app=a615"], ["app=a616"], ["app=a617"], ["app=a618"], ["app=a619"], ["app=a620"], ["app=a621"], ["app=a622"], ["app=a623"], ["app=a624"], ["app=a625"], ["app=a626"], ["app=a627"], ["app=a628"], ["app=a629"], ["app=a630"], ["app=a631"], ["app=a632"], ["app=a633"], ["app=a634"], ["app=a635"], ["app=a636"], ["app=a637"], ["app=a638"], ["app=a639"], ["app=a640"], ["app=a641"], ["app=a642"], ["app=a643"], ["app=a644"], ["app=a645"], ["app=a646"], ["app=a647"], ["app=a648"], ["app=a649"], ["app=a650"], ["app=a651"], ["app=a652"], ["app=a653"], ["app=a654"], ["app=a655"], ["app=a656"], ["app=a657"], ["app=a658"], ["app=a659"], ["app=a660"], ["app=a661"], ["app=a662"], ["app=a663"], ["app=a664"], ["app=a665"], ["app=a666"], ["app=a667"], ["app=a668"], ["app=a669"], ["app=a670"], ["app=a671"], ["app=a672"], ["app=a673"], ["app=a674"], ["app=a675"], ["app=a676"], ["app=a677"], ["app=a678"], ["app=a679"], ["app=a680"], ["app=a681"], ["app=a682"], ["app=a683"], ["app=a684"], ["app=a685"], ["app=a686"], ["app=a687"], ["app=a688"], ["app=a689"], ["app=a690"], ["app=a691"], ["app=a692"], ["app=a693"], ["app=a694"], ["app=a695"], ["app=a696"], ["app=a697"], ["app=a698"], ["app=a699"]]','[]','[]',0,0,0,'[]',1);
CREATE TABLE processingunits (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	associated_tags JSON NOT NULL, 
	normalized_tags JSON NOT NULL, 
	metadata JSON NOT NULL, 
	type VARCHAR NOT NULL, 
	enforcer_id VARCHAR NOT NULL, 
	enforcer_name VARCHAR NOT NULL, 
	native_context_id VARCHAR NOT NULL, 
	operational_status VARCHAR NOT NULL, 
	enforcement_status VARCHAR NOT NULL, 
	identity VARCHAR NOT NULL, 
	badge BIGINT NOT NULL, 
	registered_tags JSON NOT NULL, 
	retired_time BIGINT, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_processingunits PRIMARY KEY (id), 
	CONSTRAINT uq_processingunits_badge UNIQUE (badge), 
	CONSTRAINT uq_processingunits_enforcer_id_native_context_id UNIQUE (enforcer_id, native_context_id)
);
INSERT INTO "processingunits" VALUES('01a2083562ef6adabfe61cc2','/acme/prod',1795434046189952,'web-1','',1795434046189952,'{}',0,'["app=web"]','["$enforcerid=01a2083561d1a428cc0d472c", "$enforcername=edge", "$id=01a2083562ef6adabfe61cc2", "$identity=processingunit", "$name=web-1", "$namespace=/acme/prod", "$type=Process", "@org:group=prod", "@org:tenant=acme", "@os:host=linux", "app=web"]','["@os:host=linux"]','Process','01a2083561d1a428cc0d472c','edge','web-1','Running','Active','e0e3930ccf9e1b5a0de685eed51da2e0',3486683089,'["app=web"]',NULL,1);
INSERT INTO "processingunits" VALUES('01a2083562f13ac1543d0b8e','/acme/prod/shop',1795434046189952,'web-2','',1795434046189952,'{}',0,'["app=web"]','["$enforcerid=01a2083561d1a428cc0d472c", "$enforcername=edge", "$id=01a2083562f13ac1543d0b8e", "$identity=processingunit", "$name=web-2", "$namespace=/acme/prod/shop", "$type=Process", "@org:group=prod", "@org:tenant=acme", "app=web"]','[]','Process','01a2083561d1a428cc0d472c','edge','web-2','Running','Active','bc7554fc1f3847bb1e416c429ec065ae',858852281,'["app=web"]',NULL,1);
INSERT INTO "processingunits" VALUES('01a2083562f73ce25d83aac7','/acme/prod/shop',1795434046198233,'pg','',1795434046198233,'{}',0,'["app=db"]','["$enforcerid=01a2083562480d9f27e0039d", "$enforcername=db", "$id=01a2083562f73ce25d83aac7", "$identity=processingunit", "$name=pg", "$namespace=/acme/prod/shop", "$type=Process", "@org:group=prod", "@org:tenant=acme", "app=db"]','[]','Process','01a2083562480d9f27e0039d','db','pg','Running','Inactive','304639282b1f5462b429b004826e523f',626064816,'["app=db"]',NULL,1);
INSERT INTO "processingunits" VALUES('01a2083562f866cb1e816f4b','/acme/prod/shop',1795434046198233,'gone','',1795434046203950,'{}',0,'["app=db"]','["$enforcerid=01a2083562480d9f27e0039d", "$enforcername=db", "$id=01a2083562f866cb1e816f4b", "$identity=processingunit", "$name=gone", "$namespace=/acme/prod/shop", "$type=Process", "@org:group=prod", "@org:tenant=acme", "app=db"]','[]','Process','01a2083562480d9f27e0039d','db','gone','Terminated','Active','71498964ebd999baf7c820600b24547e',4033833759,'["app=db"]',1795434046203950,2);
CREATE TABLE revisions (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	number BIGINT NOT NULL, 
	author VARCHAR NOT NULL, 
	changes JSON NOT NULL, 
	signature VARCHAR NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_revisions PRIMARY KEY (id), 
	CONSTRAINT uq_revisions_number UNIQUE (number)
);
INSERT INTO "revisions" VALUES('1','/',1795434044305394,1,'console','["create namespace  /", "create appcredential / administrator"]','a4e9459ef30239e512f64f0bf5e580d53a7c968f2024036eff38cf6a13bba8c790265d5691137a683525def10dd0dc508b85046bd058fff3d5354af9d380bb02',1);
INSERT INTO "revisions" VALUES('2','/',1795434044442696,2,'appcredential / administrator','["create namespace / /acme"]','da5906d510844a2803b305cc054d580be8f33982b74aa1005ffcaaed6623b9d954a7d0bae96a33b644e23c0bd832bf33709aa0dc210d072d4a3de4a2bedba70e',1);
INSERT INTO "revisions" VALUES('3','/',1795434044497013,3,'appcredential / administrator','["create namespace /acme /acme/prod"]','644f58e91137c1d78aa4bf3ede61c84830d69508c73af91a8774880cb2aaf680271000b3d6198ca1e45b293b3e709e4eded93bf235482da6d60ca227af23ff04',1);
INSERT INTO "revisions" VALUES('4','/',1795434044548131,4,'appcredential / administrator','["create namespace /acme/prod /acme/prod/shop"]','efe578a7cc7b4cc9e33d5c9c30d2f349a6cedb9da88c3dbd7a119c0cf5ee95e213fca6f6c660c19977fcdddeb9535e582f100c8df054d34a776625651315370f',1);
INSERT INTO "revisions" VALUES('5','/',1795434044600216,5,'appcredential / administrator','["create externalnetwork /acme/prod office"]','4e9ee41c5065e87820e765f4fbded2847aec176bdd2ebd2718e8bfb756306d5219ac643f77139f0e092bca45f20fdb0a8e3f3b4468352161efa779914f582c00',1);
INSERT INTO "revisions" VALUES('6','/',1795434044652395,6,'appcredential / administrator','["create networkrulesetpolicy /acme/prod db"]','590df3affdc670b7d6ff36f15d794880c293aaf6ca0f54551e0a5792cf2c80d952609d55125825f49b3c5851b88cd965426cbdb05c3236f88b01580881473503',1);
INSERT INTO "revisions" VALUES('7','/',1795434044705051,7,'appcredential / administrator','["create networkrulesetpolicy /acme/prod/shop web"]','73b95270a0882c57e8d530d9e1688cc14b68fbf836500ce0802437fe7bd0bc16b900b2e16a614cf1f32f3c23836bc465352c235ac9e24bfb334151a1004bc60c',1);
INSERT INTO "revisions" VALUES('8','/',1795434044757577,8,'appcredential / administrator','["create networkrulesetpolicy /acme wide"]','2c9b7110dfa4621695c487b6137b994c955846dce873fcfe1fe3b7a7564ebbd07336d0ed52b2341e402bb5c8c3e52e6e1cc4581da9e5e4bb1e69c0678a0d2005',1);
INSERT INTO "revisions" VALUES('9','/',1795434045899604,9,'enrolment','["update token /acme/prod token-e5165647", "create enforcer /acme/prod edge"]','73811e5123d9069cfec8d876bb22ee02d9a1caebc2ca1d2b650d6ee399a5080c4f4b41f911aa1d1e22f23ffd926bb22c77e1f3dfb0f883d70ced3a0d51253005',1);
INSERT INTO "revisions" VALUES('10','/',1795434046022020,10,'enrolment','["update token /acme/prod/shop token-d4aae5fc", "create enforcer /acme/prod/shop db"]','3229dc8a5a411a76e292526a841065f2f2efa47b7582e874146c1f1536c2c8505749ced3b76f0c620a8dc51c844190b20a9ad63daf856f1138a9fc51ecdffd05',1);
INSERT INTO "revisions" VALUES('11','/',1795434046124724,11,'enforcer /acme/prod edge','["update enforcer /acme/prod edge"]','34f5f29228248ece79c94158614f147e86fa265cf50c4f61791a4ccb64a8868ebea8309035bc6a7336c74ab30a1eebfdad655d1b554ded80370834e20f11d706',1);
INSERT INTO "revisions" VALUES('12','/',1795434046184157,12,'enforcer /acme/prod/shop db','["update enforcer /acme/prod/shop db"]','df045d1b1ff5af04f0d975d29650648b0bb17c903b284a50b98fa812b89008f389a50a62ffa7813aeb2506ec14da62556ade7c97aeb2ac42715181b0d27e2d00',1);
INSERT INTO "revisions" VALUES('13','/',1795434046189952,13,'enforcer /acme/prod edge','["create processingunit /acme/prod web-1", "create processingunit /acme/prod/shop web-2"]','25efe54360f98f81b917a7bc4240d10680e5c34e785a31e597bf135a97331b32ce778807529d9aef8c5cbcc6e8c4f61643483f975c0d05afb028c99048f1e201',1);
INSERT INTO "revisions" VALUES('14','/',1795434046198233,14,'enforcer /acme/prod/shop db','["create processingunit /acme/prod/shop pg", "create processingunit /acme/prod/shop gone"]','d68cef644a995047b29182f1f817c87798f3413bd7eaeb4b7d60bbda672b668cb892fb453b2a0c45f9ebb0343f056779ae0a472a528a08df73c65530dde28903',1);
INSERT INTO "revisions" VALUES('15','/',1795434046203950,15,'enforcer /acme/prod/shop db','["update processingunit /acme/prod/shop gone"]','e5729cc4289db2946a17816f0af638e5b7e2ccb4ec132a09e99f0d679f80171d34fd25b19c6d9b0d95500db60268072499756dce02c2d65262ffd978abae6604',1);
CREATE TABLE tokens (
	id VARCHAR NOT NULL, 
	namespace VARCHAR NOT NULL, 
	create_time BIGINT, 
	name VARCHAR NOT NULL, 
	description VARCHAR NOT NULL, 
	update_time BIGINT, 
	annotations JSON NOT NULL, 
	protected BOOLEAN NOT NULL, 
	uses BIGINT NOT NULL, 
	used BIGINT NOT NULL, 
	validity VARCHAR NOT NULL, 
	expiration_time BIGINT, 
	secret_hash BLOB NOT NULL, 
	version BIGINT NOT NULL, 
	CONSTRAINT pk_tokens PRIMARY KEY (id), 
	CONSTRAINT uq_tokens_namespace_name UNIQUE (namespace, name)
);
INSERT INTO "tokens" VALUES('01a208355d91ef5ee222858c','/',1795434044816880,'spare','',1795434044816880,'{}',0,3,0,'7d',1796038844816880,X'92AD8B80DEC9B2F6B7E429FAB2A1F6E58EB19FC628197505602E8AE61993A778',1);
INSERT INTO "tokens" VALUES('01a208356197524698aad22f','/acme/prod',1795434045846884,'token-e5165647','',1795434045899604,'{}',0,1,1,'30m',1795435845846884,X'4F38BB0E90B8464E40DDB38D2FB13F9FE76857711402D7A509C699177EAF7654',2);
INSERT INTO "tokens" VALUES('01a208356215ac3ed4bcab5e','/acme/prod/shop',1795434045972419,'token-d4aae5fc','',1795434046022020,'{}',0,1,1,'30m',1795435845972419,X'2D820AC3FE498FB73178C0E062BD6285732368C1B9881C6B005E3D23B0363D21',2);
CREATE INDEX ix_activities_author ON activities (author);
CREATE INDEX ix_activities_create_time ON activities (create_time);
CREATE INDEX ix_activities_namespace ON activities (namespace);
CREATE INDEX ix_activities_operation ON activities (operation);
CREATE INDEX ix_activities_target_id ON activities (target_id);
CREATE INDEX ix_activities_target_identity ON activities (target_identity);
CREATE INDEX ix_answers_time ON answers (time);
CREATE INDEX ix_appcredentials_create_time ON appcredentials (create_time);
CREATE INDEX ix_appcredentials_name ON appcredentials (name);
CREATE INDEX ix_enforcers_create_time ON enforcers (create_time);
CREATE INDEX ix_enforcers_name ON enforcers (name);
CREATE INDEX ix_enforcers_operational_status ON enforcers (operational_status);
CREATE INDEX ix_evicted_keys_enforcer_id ON evicted_keys (enforcer_id);
CREATE INDEX ix_externalnetworks_create_time ON externalnetworks (create_time);
CREATE INDEX ix_externalnetworks_name ON externalnetworks (name);
CREATE INDEX ix_namespaces_create_time ON namespaces (create_time);
CREATE INDEX ix_namespaces_namespace ON namespaces (namespace);
CREATE INDEX ix_networkrulesetpolicies_create_time ON networkrulesetpolicies (create_time);
CREATE INDEX ix_networkrulesetpolicies_name ON networkrulesetpolicies (name);
CREATE INDEX ix_processingunits_create_time ON processingunits (create_time);
CREATE INDEX ix_processingunits_name ON processingunits (name);
CREATE INDEX ix_processingunits_namespace ON processingunits (namespace);
CREATE INDEX ix_processingunits_native_context_id ON processingunits (native_context_id);
CREATE INDEX ix_processingunits_operational_status ON processingunits (operational_status);
CREATE INDEX ix_revisions_create_time ON revisions (create_time);
CREATE INDEX ix_revisions_namespace ON revisions (namespace);
CREATE INDEX ix_tokens_create_time ON tokens (create_time);
CREATE INDEX ix_tokens_name ON tokens (name);
COMMIT;
